//! Several registries in one flag: their names, and which address is whose.

/// The names of registries in a value of `--registry`, which are separated by commas.
///
/// # Errors
///
/// When one is there twice: addresses go by the names.
pub(crate) fn names(text: &str) -> Result<Vec<&str>, String> {
    let mut names: Vec<&str> = Vec::new();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if names.contains(&name) {
            return Err(format!("{name} is there twice; name each registry once"));
        }
        names.push(name);
    }
    Ok(names)
}

/// The addresses of each of these registries, of a value of `--registry_address`. They are written `NAME=ADDRESS`; where
/// there is but one registry, the name may be left out.
///
/// # Errors
///
/// When an address does not say whose it is, or names a registry that is none of these.
pub(crate) fn addresses(names: &[&str], given: &[String]) -> Result<Vec<Vec<String>>, String> {
    let mut addresses = vec![Vec::new(); names.len()];
    for text in given {
        let named = text.split_once('=').and_then(|(name, address)| {
            let place = names.iter().position(|known| *known == name.trim())?;
            Some((place, address.trim()))
        });
        let (place, address) = match named {
            Some((_, "")) => return Err(format!("{text:?} has no address behind the name")),
            Some(named) => named,
            None if names.len() == 1 => (0, text.as_str()),
            None => return Err(nobodys(names, text)),
        };
        addresses[place].push(address.to_owned());
    }
    Ok(addresses)
}

fn nobodys(names: &[&str], text: &str) -> String {
    let address = text.rsplit_once('=').map_or(text, |(_, address)| address);
    let form: Vec<_> = names.iter().map(|name| format!("{name}={address}")).collect();
    format!(
        "{text:?} is the address of none of {}; with several registries say whose each is, such as {}",
        names.join(", "),
        form.join(" or ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(names: &[&str], given: &[&str]) -> Result<Vec<Vec<String>>, String> {
        let given: Vec<_> = given.iter().map(|text| (*text).to_owned()).collect();
        addresses(names, &given)
    }

    #[test]
    fn names_are_separated_by_commas() {
        assert_eq!(names("consul").unwrap(), ["consul"]);
        assert_eq!(names(" consul, etcd,").unwrap(), ["consul", "etcd"]);
        assert!(names(",").unwrap().is_empty());
        assert!(
            names("etcd,consul,etcd")
                .unwrap_err()
                .contains("etcd is there twice")
        );
    }

    #[test]
    fn each_registry_gets_its_own_addresses() {
        let given = ["etcd=a:1", "consul=http://b/?x=y", "etcd=c:3"];
        assert_eq!(
            shared(&["consul", "etcd", "mdns"], &given).unwrap(),
            [vec!["http://b/?x=y"], vec!["a:1", "c:3"], vec![]]
        );
    }

    #[test]
    fn one_registry_needs_no_name_before_its_addresses() {
        let given = ["a:1", "etcd=b:2", "http://c/?x=y", "consul=d:4"];
        let taken = ["a:1", "b:2", "http://c/?x=y", "consul=d:4"];
        assert_eq!(shared(&["etcd"], &given).unwrap(), [taken]);
    }

    #[test]
    fn an_address_of_nobody_is_refused_with_the_form_to_write() {
        assert_eq!(
            shared(&["consul", "etcd"], &["127.0.0.1:2379"]).unwrap_err(),
            "\"127.0.0.1:2379\" is the address of none of consul, etcd; with several registries say whose each is, \
             such as consul=127.0.0.1:2379 or etcd=127.0.0.1:2379"
        );
        assert!(
            shared(&["consul", "etcd"], &["zookeeper=a:1"])
                .unwrap_err()
                .contains("such as consul=a:1")
        );
        assert!(
            shared(&["consul", "etcd"], &["etcd="])
                .unwrap_err()
                .contains("no address")
        );
    }
}
