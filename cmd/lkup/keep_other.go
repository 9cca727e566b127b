//go:build !darwin

package main

import "errors"

func (c *keepCmd) Run(*call) error { return errors.New("hyperkit's machines run on Intel Macs only") }
