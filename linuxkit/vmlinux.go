package linuxkit

import (
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/therootcompany/xz"
	"github.com/ulikunitz/xz/lzma"
)

// maxKernel bounds what a compressed kernel may unpack to.
const maxKernel = 1 << 30

// bootable is the kernel in the form that boots fastest. On x86-64 that is
// the ELF file inside of a bzImage: QEMU enters it directly, by PVH, and the
// guest need not unpack it at each boot. On arm64 it is the plain Image.
// What is in neither wrapping is returned as it is.
func bootable(kernel []byte) ([]byte, error) {
	if payload, ok, err := bzImagePayload(kernel); ok || err != nil {
		if err != nil {
			return nil, err
		}
		return elfInside(payload)
	}
	if payload, ok, err := zbootPayload(kernel); ok || err != nil {
		if err != nil {
			return nil, err
		}
		return decompress(payload)
	}
	if bytes.HasPrefix(kernel, []byte{0x1f, 0x8b}) {
		return decompress(kernel)
	}
	return kernel, nil
}

func elfInside(payload []byte) ([]byte, error) {
	content, err := decompress(payload)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(content, []byte("\x7fELF")) {
		return nil, errors.New("the kernel holds no ELF file")
	}
	return content, nil
}

// bzImagePayload finds the compressed kernel by the header documented in the
// kernel's Documentation/arch/x86/boot.rst.
func bzImagePayload(kernel []byte) (payload []byte, ok bool, err error) {
	if len(kernel) < 0x250 || string(kernel[0x202:0x206]) != "HdrS" {
		return nil, false, nil
	}
	version := binary.LittleEndian.Uint16(kernel[0x206:])
	if version < 0x0208 {
		return nil, false, fmt.Errorf("the kernel has boot protocol %#x; 2.08 or newer is needed", version)
	}
	sectors := int64(kernel[0x1f1])
	if sectors == 0 {
		sectors = 4
	}
	start := (sectors+1)*512 + int64(binary.LittleEndian.Uint32(kernel[0x248:]))
	end := start + int64(binary.LittleEndian.Uint32(kernel[0x24c:]))
	if end > int64(len(kernel)) || end-start < 8 {
		return nil, false, errors.New("the kernel is cut short: its payload lies behind its end")
	}
	return kernel[start:end], true, nil
}

// zbootPayload finds the compressed kernel in an EFI zboot image
// (drivers/firmware/efi/libstub/zboot-header.S).
func zbootPayload(kernel []byte) (payload []byte, ok bool, err error) {
	if len(kernel) < 0x20 || string(kernel[:2]) != "MZ" || string(kernel[4:8]) != "zimg" {
		return nil, false, nil
	}
	start := int64(binary.LittleEndian.Uint32(kernel[8:]))
	end := start + int64(binary.LittleEndian.Uint32(kernel[12:]))
	if end > int64(len(kernel)) || end-start < 8 {
		return nil, false, errors.New("the kernel is cut short: its payload lies behind its end")
	}
	return kernel[start:end], true, nil
}

// decompress unpacks a kernel's payload by its first bytes. All but gzip
// carry the unpacked size behind them, in four bytes that belong to no format.
func decompress(payload []byte) ([]byte, error) {
	body := bytes.NewReader(payload[:len(payload)-4])
	var r io.Reader
	var err error
	switch {
	case bytes.HasPrefix(payload, []byte{0x1f, 0x8b}):
		r, err = oneMember(payload)
	case bytes.HasPrefix(payload, []byte("\xfd7zXZ\x00")):
		r, err = xz.NewReader(body, 1<<27)
	case bytes.HasPrefix(payload, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		r, err = zstd.NewReader(body, zstd.WithDecoderMaxMemory(maxKernel))
	case bytes.HasPrefix(payload, []byte{0x02, 0x21, 0x4c, 0x18}):
		r = lz4.NewReader(body)
	case bytes.HasPrefix(payload, []byte{0x5d, 0, 0}):
		r, err = lzma.NewReader(body)
	case bytes.HasPrefix(payload, []byte("BZh")):
		r = bzip2.NewReader(body)
	default:
		return nil, fmt.Errorf("the kernel is compressed in an unknown way: it begins with % x", payload[:min(6, len(payload))])
	}
	if err != nil {
		return nil, fmt.Errorf("unpack kernel: %w", err)
	}
	content, err := io.ReadAll(io.LimitReader(r, maxKernel+1))
	if err != nil {
		return nil, fmt.Errorf("unpack kernel: %w", err)
	}
	if len(content) > maxKernel {
		return nil, fmt.Errorf("unpack kernel: more than %d bytes", maxKernel)
	}
	return content, nil
}

// oneMember stops after the first gzip member: other things may follow it.
func oneMember(payload []byte) (io.Reader, error) {
	r, err := gzip.NewReader(bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	r.Multistream(false)
	return r, nil
}
