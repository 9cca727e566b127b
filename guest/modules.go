package guest

// Modules names the kernel modules that a guest may need before it can load
// others from a disk: a kernel component carries these and what they depend
// on, and init loads those for which it finds hardware or a setting.
func Modules() []string {
	return []string{
		// The machine: PCI and MMIO transports, and what hangs on them.
		"virtio_pci", "virtio_mmio", "virtio_net", "virtio_blk", "virtio_scsi", "sd_mod", "sr_mod",
		"virtio_console", "virtio_balloon", "virtio_rng",
		// The power button: by ACPI, and of machines without it.
		"button", "gpio_keys", "evdev",
		// Shares.
		"9pnet_virtio", "9pnet_fd", "9p", "virtiofs",
		// Containers and disks.
		"overlay", "ext4", "squashfs", "isofs", "loop",
		// The checksum that ext4 and libcrc32c ask the kernel for by an alias.
		"crc32c_generic",
		// DHCP clients of images that bring their own.
		"af_packet",
		// Interfaces that templates have made for containers.
		"veth", "dummy",
	}
}

// ContainerModules names the modules that container engines need besides
// [Modules]: they load them by name or have the kernel do it. Guests without
// an engine do not carry them, because they make every boot slower.
func ContainerModules() []string {
	return []string{
		// Networks of containers.
		"bridge", "br_netfilter", "veth", "macvlan", "ipvlan", "vxlan", "dummy", "tun",
		// Their address translation and filters, for iptables of both kinds.
		"nf_conntrack", "nf_conntrack_netlink", "nf_nat", "nf_tables", "nft_compat", "nft_chain_nat", "nft_ct", "nft_nat", "nft_masq",
		"nft_redir", "nft_reject", "nft_reject_inet", "nft_limit", "nft_log", "nft_fib_inet", "nft_hash", "nft_numgen", "nft_objref", "nft_counter",
		"ip_tables", "ip6_tables", "x_tables", "iptable_filter", "iptable_nat", "iptable_mangle", "iptable_raw",
		"ip6table_filter", "ip6table_nat", "ip6table_mangle", "ip6table_raw", "ipt_REJECT", "ip6t_REJECT",
		"xt_addrtype", "xt_comment", "xt_conntrack", "xt_ipvs", "xt_LOG", "xt_limit", "xt_mark", "xt_MASQUERADE", "xt_multiport", "xt_nat",
		"xt_nflog", "xt_REDIRECT", "xt_set", "xt_state", "xt_statistic", "xt_tcpudp", "xt_TCPMSS", "xt_recent", "xt_u32", "xt_bpf", "xt_connmark",
		"ip_set", "ip_set_hash_ip", "ip_set_hash_net", "ip_vs", "ip_vs_rr",
		// What cgroups and sandboxes ask for.
		"sch_ingress", "cls_bpf", "act_bpf", "nfnetlink", "xfrm_user", "fuse",
	}
}
