// Command hears prints what happens below directories, as the library has it by
// which most Go programs watch files.
package main

import (
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

func main() {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		log.Fatal(err)
	}
	for _, root := range os.Args[1:] {
		err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
			if err != nil || !e.IsDir() {
				return err
			}
			return watcher.Add(name)
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("hears")
	for {
		select {
		case e := <-watcher.Events:
			fmt.Println(e.Op, e.Name)
		case err := <-watcher.Errors:
			log.Fatal(err)
		}
	}
}
