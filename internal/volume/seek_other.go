//go:build !linux

package volume

// seekData is SEEK_DATA of macOS and the BSDs.
const seekData = 4
