package main

import (
	"flag"
	"fmt"

	"go-micro.dev/v5/broker"
	brokernats "go-micro.dev/v5/broker/nats"
	"go-micro.dev/v5/broker/rabbitmq"
	"go-micro.dev/v5/registry"
	"go-micro.dev/v5/transport"
	transportnats "go-micro.dev/v5/transport/nats"
)

// how adds the flags that choose a transport, and returns what makes it once they are parsed.
func how(flags *flag.FlagSet) func() (transport.Transport, error) {
	name := flags.String("transport", "http", "http or nats")
	address := flags.String("transport-address", "", "address of nats")
	return func() (transport.Transport, error) {
		switch *name {
		case "http":
			return transport.NewHTTPTransport(), nil
		case "nats":
			made := transportnats.NewTransport(transport.Addrs(*address))
			return made, made.Init()
		default:
			return nil, fmt.Errorf("unknown transport %q: use http or nats", *name)
		}
	}
}

// through adds the flags that choose a broker, and returns what connects to it once they are parsed.
func through(flags *flag.FlagSet) func(registry.Registry) (broker.Broker, error) {
	name := flags.String("broker", "http", "http, nats or rabbitmq")
	address := flags.String("broker-address", "", "address of nats or rabbitmq")
	return func(records registry.Registry) (broker.Broker, error) {
		switch *name {
		case "http":
			return broker.NewHttpBroker(broker.Addrs("127.0.0.1:0"), broker.Registry(records)), nil
		case "nats":
			made := brokernats.NewNatsBroker(broker.Addrs(*address))
			return made, made.Init()
		case "rabbitmq":
			return rabbitmq.NewBroker(broker.Addrs(*address)), nil
		default:
			return nil, fmt.Errorf("unknown broker %q: use http, nats or rabbitmq", *name)
		}
	}
}
