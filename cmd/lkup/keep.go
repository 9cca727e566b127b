package main

// keepCommand is the hidden command that runs beside each machine of Hyperkit.
const keepCommand = "keep-hyperkit"

// keepCmd is a keeper: see drivers/hyperkit. It is told all on its standard
// input; the directory is only there for people who look at processes.
type keepCmd struct {
	Dir string `arg:""`
}
