package spec

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// textFunc makes a function of one text from f.
func textFunc(f func(string) string) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "str", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.StringVal(f(args[0].AsString())), nil
		},
	})
}

// textTestFunc makes a function that asks something about two texts.
func textTestFunc(second string, f func(a, b string) bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "str", Type: cty.String}, {Name: second, Type: cty.String}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(f(args[0].AsString(), args[1].AsString())), nil
		},
	})
}

func hasPrefix(s, prefix string) bool { return strings.HasPrefix(s, prefix) }
func hasSuffix(s, suffix string) bool { return strings.HasSuffix(s, suffix) }
func contains(s, part string) bool    { return strings.Contains(s, part) }
func basename(p string) string        { return path.Base(p) }
func dirname(p string) string         { return path.Dir(p) }
func urlEncode(s string) string       { return url.QueryEscape(s) }
func base64Encode(s string) string    { return base64.StdEncoding.EncodeToString([]byte(s)) }

func md5Hash(b []byte) []byte    { sum := md5.Sum(b); return sum[:] }
func sha1Hash(b []byte) []byte   { sum := sha1.Sum(b); return sum[:] }
func sha256Hash(b []byte) []byte { sum := sha256.Sum256(b); return sum[:] }
func sha512Hash(b []byte) []byte { sum := sha512.Sum512(b); return sum[:] }

func hexOf(hash func([]byte) []byte) func(string) string {
	return func(s string) string { return hex.EncodeToString(hash([]byte(s))) }
}

func base64Of(hash func([]byte) []byte) func(string) string {
	return func(s string) string { return base64.StdEncoding.EncodeToString(hash([]byte(s))) }
}

var base64DecodeFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "str", Type: cty.String}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		raw, err := base64.StdEncoding.DecodeString(args[0].AsString())
		switch {
		case err != nil:
			return cty.NilVal, function.NewArgErrorf(0, "this is not base64: %w", err)
		case !utf8.Valid(raw):
			return cty.NilVal, function.NewArgErrorf(0, "what comes out is not text in UTF-8")
		}
		return cty.StringVal(string(raw)), nil
	},
})

// replaceFunc replaces a text, or, written between slashes, a pattern.
var replaceFunc = function.New(&function.Spec{
	Params: []function.Parameter{
		{Name: "str", Type: cty.String}, {Name: "substr", Type: cty.String}, {Name: "replace", Type: cty.String},
	},
	Type: function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		old := args[1].AsString()
		if len(old) < 2 || old[0] != '/' || old[len(old)-1] != '/' {
			return cty.StringVal(strings.ReplaceAll(args[0].AsString(), old, args[2].AsString())), nil
		}
		pattern, err := regexp.Compile(old[1 : len(old)-1])
		if err != nil {
			return cty.NilVal, function.NewArgError(1, err)
		}
		return cty.StringVal(pattern.ReplaceAllString(args[0].AsString(), args[2].AsString())), nil
	},
})

// lengthFunc counts the elements of a collection, or the characters of a text.
var lengthFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowDynamicType: true, AllowUnknown: true}},
	Type: func(args []cty.Value) (cty.Type, error) {
		ty := args[0].Type()
		if ty == cty.String || ty == cty.DynamicPseudoType || ty.IsTupleType() || ty.IsObjectType() || ty.IsCollectionType() {
			return cty.Number, nil
		}
		return cty.Number, errors.New("it must be a string, a list, a set or a map")
	},
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		ty := args[0].Type()
		switch {
		case ty == cty.DynamicPseudoType:
			return cty.UnknownVal(cty.Number), nil
		case ty == cty.String:
			return stdlib.Strlen(args[0])
		case ty.IsTupleType():
			return cty.NumberIntVal(int64(ty.Length())), nil
		case ty.IsObjectType():
			return cty.NumberIntVal(int64(len(ty.AttributeTypes()))), nil
		}
		return args[0].Length(), nil
	},
})

func unprintable(r rune) bool { return !strconv.IsPrint(r) }

// sentence makes an error fit to stand alone.
func sentence(err error) string { return sentenceStart(err.Error()) + "." }

func sentenceStart(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
