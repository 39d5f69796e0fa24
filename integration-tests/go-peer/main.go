// Command go-peer is a real Go Micro v5 service and client, for the tests that
// check that Micro for Rust and Go Micro understand each other.
//
// Every answer is one line on standard output; logs go to standard error.
package main

import (
	"fmt"
	"os"
)

const usage = `usage: go-peer <command> [flags]

  server            serve Greeter until interrupted
  call              call a unary endpoint
  stream            open Greeter.Count or Greeter.Echo
  list              list the services of a registry
  get NAME          look a service up in a registry
  watch [NAME]      print changes that a registry tells
  subscribe         print the events of a topic until interrupted
  publish           publish greetings to a topic

Run "go-peer <command> -h" for the flags of a command.`

func main() {
	commands := map[string]func([]string) error{
		"server":    serve,
		"call":      call,
		"stream":    stream,
		"list":      list,
		"get":       get,
		"watch":     watch,
		"subscribe": subscribe,
		"publish":   publish,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "go-peer %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}
