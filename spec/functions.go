package spec

import (
	"maps"

	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	ctyyaml "github.com/zclconf/go-cty-yaml"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// newFunctions is the table of functions: Terraform's names and meanings,
// without any that reads a clock, chance or the environment. Those that read
// files read them through r.
func newFunctions(r *reader) map[string]function.Function {
	all := maps.Clone(pureFunctions)
	maps.Copy(all, fileFunctions(r))
	return all
}

// pureFunctions depend on their arguments alone.
var pureFunctions = map[string]function.Function{
	// numbers
	"abs":      stdlib.AbsoluteFunc,
	"ceil":     stdlib.CeilFunc,
	"floor":    stdlib.FloorFunc,
	"log":      stdlib.LogFunc,
	"max":      stdlib.MaxFunc,
	"min":      stdlib.MinFunc,
	"parseint": stdlib.ParseIntFunc,
	"pow":      stdlib.PowFunc,
	"signum":   stdlib.SignumFunc,
	"sum":      sumFunc,

	// text
	"basename":     textFunc(basename),
	"chomp":        stdlib.ChompFunc,
	"dirname":      textFunc(dirname),
	"endswith":     textTestFunc("suffix", hasSuffix),
	"format":       stdlib.FormatFunc,
	"formatlist":   stdlib.FormatListFunc,
	"indent":       stdlib.IndentFunc,
	"join":         stdlib.JoinFunc,
	"lower":        stdlib.LowerFunc,
	"regex":        stdlib.RegexFunc,
	"regexall":     stdlib.RegexAllFunc,
	"regexreplace": stdlib.RegexReplaceFunc,
	"replace":      replaceFunc,
	"split":        stdlib.SplitFunc,
	"startswith":   textTestFunc("prefix", hasPrefix),
	"strcontains":  textTestFunc("part", contains),
	"strlen":       stdlib.StrlenFunc,
	"strrev":       stdlib.ReverseFunc,
	"substr":       stdlib.SubstrFunc,
	"title":        stdlib.TitleFunc,
	"trim":         stdlib.TrimFunc,
	"trimprefix":   stdlib.TrimPrefixFunc,
	"trimspace":    stdlib.TrimSpaceFunc,
	"trimsuffix":   stdlib.TrimSuffixFunc,
	"upper":        stdlib.UpperFunc,

	// collections
	"alltrue":         allTrueFunc,
	"anytrue":         anyTrueFunc,
	"chunklist":       stdlib.ChunklistFunc,
	"coalesce":        coalesceFunc,
	"coalescelist":    stdlib.CoalesceListFunc,
	"compact":         stdlib.CompactFunc,
	"concat":          stdlib.ConcatFunc,
	"contains":        stdlib.ContainsFunc,
	"distinct":        stdlib.DistinctFunc,
	"element":         stdlib.ElementFunc,
	"flatten":         stdlib.FlattenFunc,
	"index":           indexFunc,
	"keys":            stdlib.KeysFunc,
	"length":          lengthFunc,
	"lookup":          lookupFunc,
	"matchkeys":       matchKeysFunc,
	"merge":           stdlib.MergeFunc,
	"one":             oneFunc,
	"range":           rangeFunc,
	"reverse":         stdlib.ReverseListFunc,
	"setintersection": stdlib.SetIntersectionFunc,
	"setproduct":      stdlib.SetProductFunc,
	"setsubtract":     stdlib.SetSubtractFunc,
	"setunion":        stdlib.SetUnionFunc,
	"slice":           stdlib.SliceFunc,
	"sort":            stdlib.SortFunc,
	"transpose":       transposeFunc,
	"values":          stdlib.ValuesFunc,
	"zipmap":          stdlib.ZipmapFunc,

	// encodings
	"base64decode": base64DecodeFunc,
	"base64encode": textFunc(base64Encode),
	"base64sha256": textFunc(base64Of(sha256Hash)),
	"base64sha512": textFunc(base64Of(sha512Hash)),
	"csvdecode":    stdlib.CSVDecodeFunc,
	"jsondecode":   stdlib.JSONDecodeFunc,
	"jsonencode":   stdlib.JSONEncodeFunc,
	"md5":          textFunc(hexOf(md5Hash)),
	"sha1":         textFunc(hexOf(sha1Hash)),
	"sha256":       textFunc(hexOf(sha256Hash)),
	"sha512":       textFunc(hexOf(sha512Hash)),
	"urlencode":    textFunc(urlEncode),
	"yamldecode":   ctyyaml.YAMLDecodeFunc,
	"yamlencode":   ctyyaml.YAMLEncodeFunc,

	// types
	"can":          tryfunc.CanFunc,
	"try":          tryfunc.TryFunc,
	"tobool":       stdlib.MakeToFunc(cty.Bool),
	"tolist":       collectionFunc(stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)), cty.List, cty.ListVal),
	"tomap":        stdlib.MakeToFunc(cty.Map(cty.DynamicPseudoType)),
	"tonumber":     stdlib.MakeToFunc(cty.Number),
	"toset":        collectionFunc(stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)), cty.Set, cty.SetVal),
	"tostring":     stdlib.MakeToFunc(cty.String),
	"sensitive":    sensitiveFunc,
	"nonsensitive": nonsensitiveFunc,
	"issensitive":  isSensitiveFunc,

	// times, given as text
	"formatdate": stdlib.FormatDateFunc,
	"timeadd":    stdlib.TimeAddFunc,
}
