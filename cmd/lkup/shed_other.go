//go:build !linux

package main

// shedProgram does nothing where it was not measured.
func shedProgram() (int, error) { return 0, nil }
