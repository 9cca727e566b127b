package guest

// Modules names the kernel modules that a guest may need before it can load
// others from a disk: a kernel component carries these and what they depend
// on, and init loads those for which it finds hardware or a setting.
func Modules() []string {
	return []string{
		// The machine: PCI and MMIO transports, and what hangs on them.
		"virtio_pci", "virtio_mmio", "virtio_net", "virtio_blk", "virtio_scsi", "sd_mod", "sr_mod",
		"virtio_console", "virtio_balloon", "virtio_rng",
		// The power button.
		"button", "evdev",
		// Shares.
		"9pnet_virtio", "9p", "virtiofs",
		// Containers and disks.
		"overlay", "ext4", "squashfs", "isofs", "loop",
		// DHCP clients of images that bring their own.
		"af_packet",
		// Interfaces that templates have made for containers.
		"veth", "dummy",
	}
}
