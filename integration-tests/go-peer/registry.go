package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"time"

	"go-micro.dev/v5/registry"
)

func list(arguments []string) error {
	records, _ := lookup("list", arguments)
	services, err := records.ListServices()
	if err != nil {
		return err
	}
	return printServices(services)
}

func get(arguments []string) error {
	records, name := lookup("get", arguments)
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
	records, name := lookup("watch", arguments)
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

// lookup gives the mdns registry and the name that follows the flags, if any.
func lookup(command string, arguments []string) (registry.Registry, string) {
	flags := flag.NewFlagSet(command, flag.ExitOnError)
	wait := flags.Duration("lookup", 500*time.Millisecond, "time to wait for mdns answers")
	flags.Parse(arguments)
	return registry.NewMDNSRegistry(registry.Timeout(*wait)), flags.Arg(0)
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
