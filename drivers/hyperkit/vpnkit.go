package hyperkit

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// The protocol that Hyperkit speaks with vpnkit over a stream: each side says
// who it is; Hyperkit asks for an Ethernet and is told its address; then frames
// go both ways, each behind its length.
const (
	vpnkitMagic   = "VMN3T"
	vpnkitVersion = 22
	initSize      = 5 + 4 + 40 // magic, version, and which commit of vpnkit it is
	commandSize   = 1 + 36 + 4 // what is asked for, the machine's UUID, and an IPv4 address
	responseSize  = 1 + 1 + 256

	askEthernet  = 1
	askAddress   = 8 // an Ethernet, with a wish for an address
	tellEthernet = 1

	mtu      = 1500
	maxFrame = mtu + 14 // the header
)

// greet does the server's part of the first exchange, and gives the guest its
// hardware address.
func greet(conn io.ReadWriter, mac net.HardwareAddr) error {
	hello := make([]byte, initSize)
	if _, err := io.ReadFull(conn, hello); err != nil {
		return fmt.Errorf("read the greeting: %w", err)
	}
	if !bytes.HasPrefix(hello, []byte(vpnkitMagic)) {
		return fmt.Errorf("%q does not speak vpnkit's protocol", hello[:len(vpnkitMagic)])
	}
	ours := append([]byte(vpnkitMagic), make([]byte, initSize-len(vpnkitMagic))...)
	binary.LittleEndian.PutUint32(ours[5:], vpnkitVersion)
	if _, err := conn.Write(ours); err != nil {
		return err
	}
	asked := make([]byte, commandSize)
	if _, err := io.ReadFull(conn, asked); err != nil {
		return fmt.Errorf("read what is asked for: %w", err)
	}
	if asked[0] != askEthernet && asked[0] != askAddress {
		return fmt.Errorf("command %d of vpnkit's protocol is not known", asked[0])
	}
	told := make([]byte, responseSize)
	told[0] = tellEthernet
	binary.LittleEndian.PutUint16(told[1:], mtu)
	binary.LittleEndian.PutUint16(told[3:], maxFrame)
	copy(told[5:], mac)
	_, err := conn.Write(told)
	return err
}

// carry passes frames on, from the stream as datagrams and back, until one side
// ends. Datagrams that nobody takes are lost, as on any wire.
func carry(stream net.Conn, frames *net.UnixConn, to *net.UnixAddr) error {
	back := make(chan error, 1)
	go func() {
		back <- toStream(stream, frames)
		_ = stream.Close() // ends the other direction
	}()
	err := fromStream(bufio.NewReaderSize(stream, 1<<16), frames, to)
	_ = stream.Close()
	_ = frames.Close()
	return errors.Join(err, <-back)
}

func fromStream(stream io.Reader, frames *net.UnixConn, to *net.UnixAddr) error {
	buffer := make([]byte, 1<<16)
	for {
		if _, err := io.ReadFull(stream, buffer[:2]); err != nil {
			return ended(err)
		}
		n := int(binary.LittleEndian.Uint16(buffer))
		if _, err := io.ReadFull(stream, buffer[:n]); err != nil {
			return ended(err)
		}
		if n > 0 && n <= maxFrame {
			_, _ = frames.WriteToUnix(buffer[:n], to) // a switch that is away loses it
		}
	}
}

func toStream(stream io.Writer, frames *net.UnixConn) error {
	buffer := make([]byte, 2+maxFrame+1)
	for {
		n, err := frames.Read(buffer[2:])
		if err != nil {
			return ended(err)
		}
		if n == 0 || n > maxFrame {
			continue
		}
		binary.LittleEndian.PutUint16(buffer, uint16(n))
		if _, err := stream.Write(buffer[:2+n]); err != nil {
			return ended(err)
		}
	}
}

// ended is nil where a wire was merely unplugged.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
