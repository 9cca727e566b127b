package guest

// RepeatSubsystem is the SSH subsystem by which the host has its changes of
// shared files repeated: inotify hears of nothing but what is done in the guest.
// The client sends [Repeat]s as JSON, and is answered each with a [Repeated].
const RepeatSubsystem = "lkup-repeat"

// Repeat is what happened in shares. Paths are absolute, and the guest's.
type Repeat struct {
	// Hold are directories that the guest's kernel is to keep in mind until they
	// are named in Release. A directory of a 9p share that nobody uses it
	// forgets, and makes another one of it the next time: who watched the first
	// hears no more of what is in it.
	Hold    []string  `json:"hold,omitempty"`
	Release []string  `json:"release,omitempty"`
	Changed []Changed `json:"changed,omitempty"`
}

// Changed is a file or directory that is as said here. If it is not so any more
// nothing is repeated: that is another change, of which the host hears itself.
type Changed struct {
	Path     string `json:"path"`
	Mode     uint32 `json:"mode"`     // as chmod has it
	Modified int64  `json:"modified"` // nanoseconds since 1970
	// ByTime repeats it as IN_MODIFY, by setting the time to what it is. Without,
	// it is IN_ATTRIB, by setting the mode to what it is, for not every share
	// takes a time with its fraction of a second.
	ByTime bool `json:"by_time,omitempty"`
}

// Repeated says how many of the changes watchers could hear of.
type Repeated struct {
	Changes int `json:"changes"`
}
