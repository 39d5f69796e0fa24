package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"time"

	"go-micro.dev/v5/registry"
	"go-micro.dev/v5/registry/consul"
	"go-micro.dev/v5/registry/etcd"
	"go-micro.dev/v5/registry/nats"
)

// where adds the flags that choose a registry, and returns what connects to it once they are parsed.
func where(flags *flag.FlagSet, byDefault string) func() (registry.Registry, error) {
	name := flags.String("registry", byDefault, "mdns, memory, etcd, consul or nats")
	address := flags.String("registry-address", "", "address of etcd, consul or nats")
	wait := flags.Duration("lookup", 500*time.Millisecond, "time to wait for mdns answers")
	return func() (registry.Registry, error) {
		switch *name {
		case "mdns":
			return registry.NewMDNSRegistry(registry.Timeout(*wait)), nil
		case "memory":
			return registry.NewMemoryRegistry(), nil
		case "etcd":
			return etcd.NewEtcdRegistry(registry.Addrs(*address)), nil
		case "consul":
			return consul.NewConsulRegistry(registry.Addrs(*address)), nil
		case "nats":
			return nats.NewNatsRegistry(registry.Addrs(*address)), nil
		default:
			return nil, fmt.Errorf("unknown registry %q: use mdns, memory, etcd, consul or nats", *name)
		}
	}
}

func list(arguments []string) error {
	records, _, err := lookup("list", arguments)
	if err != nil {
		return err
	}
	services, err := records.ListServices()
	if err != nil {
		return err
	}
	return printServices(services)
}

func get(arguments []string) error {
	records, name, err := lookup("get", arguments)
	if err != nil {
		return err
	}
	if name == "" {
		return errors.New("missing the service name")
	}
	services, err := records.GetService(name)
	if err != nil {
		return err
	}
	return printServices(services)
}

func watch(arguments []string) error {
	records, name, err := lookup("watch", arguments)
	if err != nil {
		return err
	}
	var options []registry.WatchOption
	if name != "" {
		options = append(options, registry.WatchService(name))
	}
	watcher, err := records.Watch(options...)
	if err != nil {
		return err
	}
	defer watcher.Stop()
	fmt.Println("watching")
	for {
		change, err := watcher.Next()
		if err != nil {
			return err
		}
		if err := printLine(change); err != nil {
			return err
		}
	}
}

// lookup gives the registry that the flags choose, mdns by default, and the name that follows the flags, if any.
func lookup(command string, arguments []string) (registry.Registry, string, error) {
	flags := flag.NewFlagSet(command, flag.ExitOnError)
	connect := where(flags, "mdns")
	flags.Parse(arguments)
	records, err := connect()
	return records, flags.Arg(0), err
}

func printServices(services []*registry.Service) error {
	for _, service := range services {
		if err := printLine(service); err != nil {
			return err
		}
	}
	return nil
}

func printLine(value any) error {
	line, err := json.Marshal(value)
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	return nil
}
