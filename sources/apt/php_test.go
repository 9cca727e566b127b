package apt_test

import (
	"path"
	"strings"
	"testing"
)

func TestPHPHasItsNameAndItsModules(t *testing.T) {
	names, _ := files(t, image(t, shared(t), "apt:php-cli,php-xml"))
	link := names["usr/bin/php"]
	if link == nil || names["usr/bin/"+link.Linkname] == nil {
		t.Fatalf("usr/bin/php is %+v", link)
	}
	home := path.Join("etc/php", strings.TrimPrefix(link.Linkname, "php"))
	if names[home+"/cli/php.ini"] == nil {
		t.Error("it has no settings")
	}
	for _, module := range []string{"10-pdo.ini", "15-xml.ini", "20-dom.ini", "20-tokenizer.ini"} { // in which order they are loaded matters
		link := names[home+"/cli/conf.d/"+module]
		if link == nil || names[strings.TrimPrefix(link.Linkname, "/")] == nil {
			t.Errorf("%s is %+v", module, link)
		}
	}
}
