// Package share serves directories of the host to guests, over 9P, and keeps
// what is protected in them as it is: whatever a guest says on the wire, it
// neither changes nor makes, moves, links or removes what a protected path
// names, whether that is there by now or not. It decides by path at each
// request, so that what the host's own programs replace stays protected.
//
// A guest never reaches what lies outside of the directory: links are not
// followed here, and every path is walked one name at a time.
package share

import (
	"encoding/json"
	"errors"
)

// Served is a directory that a guest is served over one connection.
type Served struct {
	Dir      string   `json:"dir"` // absolute
	ReadOnly bool     `json:"read_only,omitempty"`
	Protect  []string `json:"protect,omitempty"` // as [Protected] has it
}

// Encode is what [Decode] reads: one word of a command line.
func Encode(all []Served) string {
	word, err := json.Marshal(all)
	if err != nil {
		panic("a struct of strings has no JSON: " + err.Error())
	}
	return string(word)
}

// Decode reads the word by which a server is told what to serve.
func Decode(word string) ([]Served, error) {
	var all []Served
	err := json.Unmarshal([]byte(word), &all)
	if err == nil && len(all) == 0 {
		err = errors.New("there is nothing to serve")
	}
	return all, err
}
