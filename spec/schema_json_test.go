package spec

import "testing"

func TestEveryArgumentIsDescribed(t *testing.T) {
	described := map[string]int{}
	for kind, all := range arguments {
		described[kind] = len(all)
	}
	seen := map[*schema]bool{}
	var check func(s *schema)
	check = func(s *schema) {
		if seen[s] {
			return
		}
		seen[s] = true
		for _, name := range s.arguments() {
			a, found := arguments[s.key()][name]
			if !found || a.text == "" || kindsJSON[a.kind] == nil {
				t.Errorf("%s.%s is not described: %+v", s.kind, name, a)
			}
			described[s.key()]--
		}
		for _, b := range s.blocks {
			check(b)
		}
	}
	check(fileSchema)
	for kind, left := range described {
		if left != 0 {
			t.Errorf("%d descriptions of %s say nothing of an argument", left, kind)
		}
	}
}
