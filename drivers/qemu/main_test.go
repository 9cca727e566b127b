package qemu_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/qemu"
)

// apart makes this test binary a process that starts a machine, told in JSON.
const apart = "LKUP_TEST_START"

func TestMain(m *testing.M) {
	if told := os.Getenv(apart); told != "" {
		if err := startTold(told); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func startTold(told string) error {
	var m drivers.Machine
	if err := json.Unmarshal([]byte(told), &m); err != nil {
		return err
	}
	d := qemu.New(qemu.Settings{})
	return errors.Join(d.Create(context.Background(), m), d.Start(context.Background(), m))
}
