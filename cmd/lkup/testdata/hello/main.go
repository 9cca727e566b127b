// Hello answers HTTP on port 80, and is all that a container needs to hold. With
// arguments it lists the container's root.
package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	if len(os.Args) > 1 {
		entries, err := os.ReadDir("/")
		fmt.Println(entries, err)
		return
	}
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		name, _ := os.Hostname()
		fmt.Fprintln(w, "hello from container", name)
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe(":80", nil))
	os.Exit(1)
}
