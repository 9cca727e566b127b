package disk

import (
	"fmt"
	"os"
)

// Limits bound what a packed disk may become. The zero value is good for use.
type Limits struct {
	Size  int64 // bytes of the disk, with its holes; 0: 256 GiB
	Data  int64 // bytes that are not zero, whatever they were packed into; 0: 1 GiB
	Ratio int64 // and so many more for each packed byte; 0: 100
}

// of are the limits for a file of so many bytes.
func (l Limits) of(packed int64) (size, data int64) {
	or := func(n, otherwise int64) int64 {
		if n == 0 {
			return otherwise
		}
		return n
	}
	size = or(l.Size, 256<<30)
	return size, min(size, or(l.Data, 1<<30)+or(l.Ratio, 100)*min(packed, size))
}

// output is a disk that is being written. Zeros become holes, and cost
// nothing; the rest has a budget, since a small file can unpack to more than
// the host has room for.
type output struct {
	file          *os.File
	size, written int64
	maxSize       int64
	maxData       int64
}

func create(path string, packed int64, limits Limits) (*output, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	o := &output{file: file}
	o.maxSize, o.maxData = limits.of(packed)
	return o, nil
}

func (o *output) tooLarge() error {
	return fmt.Errorf("it becomes larger than %d MiB when it is unpacked, which lkup takes for a trap; unpack it yourself if it is none", o.maxSize>>20)
}

// grow makes the disk at least so large.
func (o *output) grow(size int64) error {
	if size > o.maxSize {
		return o.tooLarge()
	}
	o.size = max(o.size, size)
	return nil
}

// write puts p at an offset, block by block.
func (o *output) write(p []byte, at int64) error {
	if err := o.grow(at + int64(len(p))); err != nil {
		return err
	}
	for len(p) > 0 {
		block := p[:min(len(p), len(zeros))]
		if !isZero(block) {
			if o.written += int64(len(block)); o.written > o.maxData {
				return fmt.Errorf("it unpacks to more than %d MiB of data, far more than its size lets expect; unpack it yourself if that is right", o.maxData>>20)
			}
			if _, err := o.file.WriteAt(block, at); err != nil {
				return err
			}
		}
		p, at = p[len(block):], at+int64(len(block))
	}
	return nil
}

// close gives the file its size.
func (o *output) close() error {
	err := o.file.Truncate(o.size)
	if closing := o.file.Close(); err == nil {
		err = closing
	}
	return err
}
