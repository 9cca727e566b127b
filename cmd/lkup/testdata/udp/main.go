// Command udp runs in guests of the boot scripts, whose busybox knows no UDP:
// "udp serve PORT" sends back what comes, "udp HOST:PORT TEXT" sends a text and
// prints what comes back, or what is wrong and after how long.
package main

import (
	"fmt"
	"net"
	"os"
	"time"
)

func main() {
	began := time.Now()
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Printf("%v, at once: %t\n", err, time.Since(began) < time.Second)
		os.Exit(1)
	}
}

func run(where, what string) error {
	content := make([]byte, 2000)
	if where == "serve" {
		conn, err := net.ListenPacket("udp", ":"+what)
		for err == nil {
			n, from, failed := conn.ReadFrom(content)
			if err = failed; err == nil {
				conn.WriteTo(content[:n], from)
			}
		}
		return err
	}
	conn, err := net.Dial("udp", where)
	if err != nil {
		return err
	}
	if _, err := conn.Write([]byte(what)); err != nil {
		return err
	}
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, err := conn.Read(content)
	fmt.Println(string(content[:n]))
	return err
}
