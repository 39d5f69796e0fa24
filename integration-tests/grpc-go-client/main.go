// Command grpc-go-client calls a Greeter at several addresses with grpc-go's own balancer round_robin, until its standard
// input ends. It knows nothing of Micro, and repeats no call by itself.
//
// Usage: grpc-go-client CALLERS ADDRESS...
//
// It prints "calling" when every address is connected, a line "failed: ..." for each call that fails, and at the end
// "called N, failed M".
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// How long one call may take: longer than any should.
const patience = 20 * time.Second

var (
	called, failed atomic.Int64
	output         sync.Mutex
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: grpc-go-client CALLERS ADDRESS...")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "grpc-go-client:", err)
		os.Exit(1)
	}
}

func run(callers string, addresses []string) error {
	count, err := strconv.Atoi(callers)
	if err != nil {
		return err
	}
	connection, err := dial(addresses)
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := meetAll(connection, len(addresses)); err != nil {
		return err
	}
	say("calling")
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	var group sync.WaitGroup
	for range count {
		group.Go(func() { loop(connection, ended) })
	}
	group.Wait()
	say("called %d, failed %d", called.Load(), failed.Load())
	return nil
}

func dial(addresses []string) (*grpc.ClientConn, error) {
	known := manual.NewBuilderWithScheme("known")
	var state resolver.State
	for _, address := range addresses {
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{
			Addresses: []resolver.Address{{Addr: address}},
		})
	}
	known.InitialState(state)
	return grpc.NewClient("known:///greeter",
		grpc.WithResolvers(known),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`),
		// So that a node which is back is met again soon; the default begins with a second.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.5, MaxDelay: 500 * time.Millisecond},
			MinConnectTimeout: 5 * time.Second,
		}),
	)
}

// meetAll calls until every address has answered.
func meetAll(connection *grpc.ClientConn, addresses int) error {
	met := map[string]bool{}
	for deadline := time.Now().Add(patience); len(met) < addresses; {
		if time.Now().After(deadline) {
			return fmt.Errorf("only %d of %d addresses answered", len(met), addresses)
		}
		var from peer.Peer
		if err := hello(connection, "first", grpc.Peer(&from), grpc.WaitForReady(true)); err != nil {
			return err
		}
		met[from.Addr.String()] = true
	}
	return nil
}

func loop(connection *grpc.ClientConn, ended <-chan struct{}) {
	for turn := 0; ; turn++ {
		select {
		case <-ended:
			return
		default:
		}
		called.Add(1)
		var err error
		if turn%8 == 7 {
			err = count(connection)
		} else {
			err = hello(connection, "Go")
		}
		if err != nil {
			failed.Add(1)
			say("failed: %v", err)
		}
	}
}

// The messages of the Greeter have their texts where a StringValue has its own, and its numbers where an Int64Value does.
func hello(connection *grpc.ClientConn, name string, options ...grpc.CallOption) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var answer wrapperspb.StringValue
	if err := connection.Invoke(ctx, "/greeter.Greeter/Hello", wrapperspb.String(name), &answer, options...); err != nil {
		return err
	}
	if answer.Value != "Hello "+name {
		return fmt.Errorf("the answer is %q", answer.Value)
	}
	return nil
}

func count(connection *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stream, err := connection.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/greeter.Greeter/Count")
	if err != nil {
		return err
	}
	if err := stream.SendMsg(wrapperspb.Int64(3)); err != nil && err != io.EOF {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for number := 1; ; number++ {
		var message wrapperspb.StringValue
		switch err := stream.RecvMsg(&message); {
		case err == io.EOF && number == 4:
			return nil
		case err != nil:
			return fmt.Errorf("message %d of a stream of 3: %w", number, err)
		case message.Value != fmt.Sprintf("count %d", number):
			return fmt.Errorf("message %d is %q", number, message.Value)
		}
	}
}

func say(format string, values ...any) {
	output.Lock()
	defer output.Unlock()
	fmt.Printf(format+"\n", values...)
}
