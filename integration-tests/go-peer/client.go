package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"go-micro.dev/v5/client"
	debug "go-micro.dev/v5/debug/proto"
	microerrors "go-micro.dev/v5/errors"
	"go-micro.dev/v5/metadata"
	"go-micro.dev/v5/registry"
	"go-micro.dev/v5/transport"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/micro-rust/micro/integration-tests/go-peer/greeter"
)

// target is what call and stream have in common: whom to ask, and how.
type target struct {
	address, service, codec, endpoint string
	timeout                           time.Duration
	records                           func() (registry.Registry, error)
	carrier                           func() (transport.Transport, error)
	headers                           headerFlags
}

func (t *target) register(flags *flag.FlagSet) {
	flags.StringVar(&t.address, "address", "", "host:port of the server; without it the service is looked up in the registry")
	flags.StringVar(&t.service, "service", "interop.greeter", "service name")
	flags.StringVar(&t.codec, "codec", "protobuf", "protobuf, json, proto-rpc or json-rpc")
	flags.StringVar(&t.endpoint, "endpoint", "Greeter.Hello", "endpoint to call")
	flags.DurationVar(&t.timeout, "timeout", 5*time.Second, "request timeout of a call")
	t.records = where(flags, "mdns")
	t.carrier = how(flags)
	flags.Var(&t.headers, "header", "metadata to send, as key=value; may be repeated")
}

func (t *target) client() (client.Client, error) {
	records := registry.NewMemoryRegistry()
	if t.address == "" {
		found, err := t.records()
		if err != nil {
			return nil, err
		}
		records = found
	}
	carried, err := t.carrier()
	if err != nil {
		return nil, err
	}
	options := []client.Option{
		client.Transport(carried),
		client.Registry(records),
		client.ContentType("application/" + t.codec),
		client.Retries(0),
		client.RequestTimeout(t.timeout),
	}
	return client.NewClient(options...), nil
}

func (t *target) callOptions() []client.CallOption {
	// The connection timeout is what a Go client tells the server as Timeout.
	options := []client.CallOption{client.WithConnectionTimeout(t.timeout)}
	if t.address != "" {
		options = append(options, client.WithAddress(t.address))
	}
	return options
}

func (t *target) context() context.Context {
	if len(t.headers) == 0 {
		return context.Background()
	}
	return metadata.NewContext(context.Background(), metadata.Metadata(t.headers))
}

func call(arguments []string) error {
	var to target
	flags := flag.NewFlagSet("call", flag.ExitOnError)
	to.register(flags)
	body := flags.String("body", "{}", "request as JSON")
	repeat := flags.Int("repeat", 1, "number of calls, one after another, over one client")
	flags.Parse(arguments)

	request, response := messages(to.endpoint)
	if err := protojson.Unmarshal([]byte(*body), request); err != nil {
		return fmt.Errorf("reading --body for %s: %w", to.endpoint, err)
	}
	asking, err := to.client()
	if err != nil {
		return err
	}
	for range *repeat {
		proto.Reset(response)
		err := asking.Call(to.context(), asking.NewRequest(to.service, to.endpoint, request), response, to.callOptions()...)
		if err != nil {
			printError(err)
			continue
		}
		if err := printMessage("reply", response); err != nil {
			return err
		}
	}
	return nil
}

// messages gives a fresh request and response for the endpoint. An endpoint
// the greeter does not have is called with the messages of Hello.
func messages(endpoint string) (proto.Message, proto.Message) {
	switch endpoint {
	case "Greeter.Fail":
		return &greeter.FailRequest{}, &greeter.HelloResponse{}
	case "Greeter.Sleep":
		return &greeter.SleepRequest{}, &greeter.HelloResponse{}
	case "Debug.Health":
		return &debug.HealthRequest{}, &debug.HealthResponse{}
	case "Debug.Stats":
		return &debug.StatsRequest{}, &debug.StatsResponse{}
	default:
		return &greeter.HelloRequest{}, &greeter.HelloResponse{}
	}
}

// stream talks as generated code does: through the generated client.
func stream(arguments []string) error {
	var to target
	flags := flag.NewFlagSet("stream", flag.ExitOnError)
	to.register(flags)
	count := flags.Int("messages", 3, "number of messages")
	flags.Parse(arguments)

	calling, err := to.client()
	if err != nil {
		return err
	}
	service := greeter.NewGreeterService(to.service, calling)
	switch to.endpoint {
	case "Greeter.Count":
		err = receiveCount(&to, service, *count)
	case "Greeter.Echo":
		err = exchangeEchoes(&to, service, *count)
	default:
		return fmt.Errorf("%s is not a stream: use Greeter.Count or Greeter.Echo", to.endpoint)
	}
	if err != nil {
		printError(err)
		return nil
	}
	fmt.Println("end")
	return nil
}

func receiveCount(to *target, service greeter.GreeterService, count int) error {
	replies, err := service.Count(to.context(), &greeter.CountRequest{Count: int64(count)}, to.callOptions()...)
	if err != nil {
		return err
	}
	defer replies.Close()
	for {
		reply, err := replies.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := printMessage("message", reply); err != nil {
			return err
		}
	}
}

func exchangeEchoes(to *target, service greeter.GreeterService, count int) error {
	echoes, err := service.Echo(to.context(), to.callOptions()...)
	if err != nil {
		return err
	}
	for number := range count {
		if err := echoes.Send(&greeter.HelloRequest{Name: fmt.Sprintf("m%d", number)}); err != nil {
			return err
		}
		reply, err := echoes.Recv()
		if err != nil {
			return err
		}
		if err := printMessage("message", reply); err != nil {
			return err
		}
	}
	return echoes.Close()
}

// printMessage compacts the JSON, because protojson adds spaces at random.
func printMessage(label string, message proto.Message) error {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(message)
	if err != nil {
		return err
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return err
	}
	fmt.Printf("{%q:%s}\n", label, compact.String())
	return nil
}

func printError(err error) {
	parsed := microerrors.FromError(err)
	if parsed == nil {
		parsed = microerrors.Parse(err.Error())
	}
	line, marshalError := json.Marshal(map[string]any{"error": map[string]any{
		"id": parsed.Id, "code": parsed.Code, "detail": parsed.Detail, "status": parsed.Status,
	}})
	if marshalError != nil {
		line = []byte(`{"error":{"detail":"the error could not be encoded"}}`)
	}
	fmt.Println(string(line))
}

type headerFlags map[string]string

func (h *headerFlags) String() string { return "" }

func (h *headerFlags) Set(text string) error {
	key, value, found := strings.Cut(text, "=")
	if !found {
		return fmt.Errorf("%q is not key=value", text)
	}
	if *h == nil {
		*h = headerFlags{}
	}
	(*h)[key] = value
	return nil
}
