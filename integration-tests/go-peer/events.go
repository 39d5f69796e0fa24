package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/google/uuid"
	"go-micro.dev/v5/broker"
	"go-micro.dev/v5/broker/rabbitmq"
	"go-micro.dev/v5/client"
	"go-micro.dev/v5/metadata"
	"go-micro.dev/v5/registry"
	"go-micro.dev/v5/server"

	"github.com/micro-rust/micro/integration-tests/go-peer/greeter"
)

// events adds the flags that choose a broker, and returns what makes it once they are parsed: by default the one that a
// Go service has, over mdns.
func events(flags *flag.FlagSet) func() (broker.Broker, registry.Registry, error) {
	name := flags.String("broker", "http", "http or rabbitmq")
	address := flags.String("broker-address", "", "address of rabbitmq")
	lookup := flags.Duration("lookup", 500*time.Millisecond, "time to wait for mdns answers")
	return func() (broker.Broker, registry.Registry, error) {
		switch *name {
		case "http":
			records := registry.NewMDNSRegistry(registry.Timeout(*lookup))
			return broker.NewHttpBroker(broker.Addrs("127.0.0.1:0"), broker.Registry(records)), records, nil
		case "rabbitmq":
			made := rabbitmq.NewBroker(broker.Addrs(*address))
			return made, registry.NewMemoryRegistry(), made.Connect()
		default:
			return nil, nil, fmt.Errorf("unknown broker %q: use http or rabbitmq", *name)
		}
	}
}

func subscribe(arguments []string) error {
	flags := flag.NewFlagSet("subscribe", flag.ExitOnError)
	topic := flags.String("topic", "interop.notice", "topic")
	queue := flags.String("queue", "", "queue to share the events of; none gets all")
	choose := events(flags)
	flags.Parse(arguments)

	events, records, err := choose()
	if err != nil {
		return err
	}
	service := server.NewServer(
		server.Name("interop.subscriber"),
		server.Id(uuid.New().String()),
		server.Address("127.0.0.1:0"),
		server.Registry(records),
		server.Broker(events),
	)
	var options []server.SubscriberOption
	if *queue != "" {
		options = append(options, server.SubscriberQueue(*queue))
	}
	handler := func(ctx context.Context, event *greeter.HelloRequest) error {
		topic, _ := metadata.Get(ctx, "Micro-Topic")
		contentType, _ := metadata.Get(ctx, "Content-Type")
		fmt.Println("event", event.Name, topic, contentType)
		return nil
	}
	if err := service.Subscribe(service.NewSubscriber(*topic, handler, options...)); err != nil {
		return err
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT, syscall.SIGTERM)
	if err := service.Start(); err != nil {
		return err
	}
	fmt.Println("registered")
	stdinClosed := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(stdinClosed)
	}()
	select {
	case <-interrupted:
	case <-stdinClosed:
	}
	err = service.Stop()
	fmt.Println("stopped")
	return err
}

func publish(arguments []string) error {
	flags := flag.NewFlagSet("publish", flag.ExitOnError)
	topic := flags.String("topic", "interop.notice", "topic")
	codec := flags.String("codec", "json", "json or protobuf")
	name := flags.String("name", "go", "what the names of the events begin with")
	count := flags.Int("count", 1, "number of events")
	choose := events(flags)
	linger := flags.Duration("linger", 2*time.Second, "time for deliveries, which Go Micro makes behind the publisher's back")
	flags.Parse(arguments)

	events, records, err := choose()
	if err != nil {
		return err
	}
	publishing := client.NewClient(
		client.Registry(records),
		client.Broker(events),
		client.ContentType("application/"+*codec),
	)
	for number := range *count {
		event := &greeter.HelloRequest{Name: fmt.Sprintf("%s-%d", *name, number), Times: int32(number)}
		if err := publishing.Publish(context.Background(), publishing.NewMessage(*topic, event)); err != nil {
			return err
		}
	}
	time.Sleep(*linger)
	fmt.Println("published", *count)
	return events.Disconnect()
}
