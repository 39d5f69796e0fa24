package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
	"go-micro.dev/v5/broker"
	"go-micro.dev/v5/client"
	debug "go-micro.dev/v5/debug/handler"
	debugproto "go-micro.dev/v5/debug/proto"
	microerrors "go-micro.dev/v5/errors"
	"go-micro.dev/v5/metadata"
	"go-micro.dev/v5/server"

	"github.com/micro-rust/micro/integration-tests/go-peer/greeter"
)

// A Go server overwrites replies of a stream that are sent back to back, so
// every reply is given the time to leave, on a busy machine too.
const pauseBetweenReplies = 50 * time.Millisecond

func serve(arguments []string) error {
	flags := flag.NewFlagSet("server", flag.ExitOnError)
	name := flags.String("name", "interop.greeter", "service name")
	id := flags.String("id", uuid.New().String(), "the node id is <name>-<id>")
	version := flags.String("version", "latest", "service version")
	address := flags.String("address", "127.0.0.1:0", "address to listen on")
	records := where(flags, "memory")
	carrier := how(flags)
	untilStdinCloses := flags.Bool("until-stdin-closes", false, "stop when standard input ends, too")
	flags.Parse(arguments)

	found, err := records()
	if err != nil {
		return err
	}
	carried, err := carrier()
	if err != nil {
		return err
	}
	service := server.NewServer(
		server.Transport(carried),
		server.Name(*name),
		server.Id(*id),
		server.Version(*version),
		server.Address(*address),
		server.Registry(found),
		server.Broker(broker.NewHttpBroker(broker.Addrs("127.0.0.1:0"), broker.Registry(found))),
	)
	handler := &greeterHandler{servedBy: "go-micro-v5/" + *name + "-" + *id}
	if err := greeter.RegisterGreeterHandler(service, handler); err != nil {
		return err
	}
	if err := debugproto.RegisterDebugHandler(service, debug.NewHandler(client.DefaultClient), server.InternalHandler(true)); err != nil {
		return err
	}

	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT, syscall.SIGTERM)
	if err := service.Start(); err != nil {
		return err
	}
	fmt.Println("listening", service.Options().Address)
	fmt.Println("registered")

	stdinClosed := make(chan struct{})
	if *untilStdinCloses {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			close(stdinClosed)
		}()
	}
	select {
	case <-interrupted:
	case <-stdinClosed:
	}
	err = service.Stop()
	fmt.Println("stopped")
	return err
}

type greeterHandler struct {
	servedBy string
}

func (g *greeterHandler) Hello(ctx context.Context, request *greeter.HelloRequest, response *greeter.HelloResponse) error {
	times := max(1, min(int(request.Times), 1000))
	response.Greeting = strings.TrimSpace(strings.Repeat("Hello "+request.Name+" ", times))
	response.ServedBy = g.servedBy
	response.Headers = map[string]string{}
	if headers, ok := metadata.FromContext(ctx); ok {
		for key, value := range headers {
			response.Headers[key] = value
		}
	}
	return nil
}

func (g *greeterHandler) Fail(_ context.Context, request *greeter.FailRequest, _ *greeter.HelloResponse) error {
	if request.Plain {
		return errors.New(request.Detail)
	}
	return microerrors.New(request.Id, request.Detail, request.Code)
}

func (g *greeterHandler) Sleep(ctx context.Context, request *greeter.SleepRequest, response *greeter.HelloResponse) error {
	if deadline, ok := ctx.Deadline(); ok {
		fmt.Println("deadline_in_milliseconds", time.Until(deadline).Milliseconds())
	} else {
		fmt.Println("deadline_none")
	}
	select {
	case <-time.After(time.Duration(request.Milliseconds) * time.Millisecond):
		fmt.Println("slept")
	case <-ctx.Done():
		fmt.Println("sleep_cancelled", ctx.Err())
		return ctx.Err()
	}
	response.Greeting = fmt.Sprintf("slept %d ms", request.Milliseconds)
	response.ServedBy = g.servedBy
	return nil
}

func (g *greeterHandler) Count(_ context.Context, request *greeter.CountRequest, stream greeter.Greeter_CountStream) error {
	for number := int64(1); number <= request.Count; number++ {
		reply := &greeter.HelloResponse{Greeting: fmt.Sprintf("count %d", number), ServedBy: g.servedBy, Seq: number}
		if err := stream.Send(reply); err != nil {
			return err
		}
		time.Sleep(pauseBetweenReplies)
	}
	return nil
}

func (g *greeterHandler) Echo(_ context.Context, stream greeter.Greeter_EchoStream) error {
	for number := int64(1); ; number++ {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		reply := &greeter.HelloResponse{Greeting: "echo " + request.Name, ServedBy: g.servedBy, Seq: number}
		if err := stream.Send(reply); err != nil {
			return err
		}
		time.Sleep(pauseBetweenReplies)
	}
}
