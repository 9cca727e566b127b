//go:build !linux

// Command lkup-init runs in Linux guests only.
package main

func main() { panic("lkup-init is process 1 of a Linux guest") }
