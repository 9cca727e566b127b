package spec

import (
	"errors"
	"slices"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

var errNotList = errors.New("it must be a list, a set or a tuple")

func isSequence(ty cty.Type) bool { return ty.IsListType() || ty.IsSetType() || ty.IsTupleType() }

// sumFunc adds the numbers of a list.
var sumFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if !isSequence(args[0].Type()) {
			return cty.NilVal, function.NewArgError(0, errNotList)
		}
		if args[0].LengthInt() == 0 {
			return cty.NilVal, function.NewArgErrorf(0, "an empty list has no sum")
		}
		total := cty.Zero
		for _, v := range args[0].AsValueSlice() {
			number, err := convert.Convert(v, cty.Number)
			if err != nil || number.IsNull() {
				return cty.NilVal, function.NewArgErrorf(0, "it must be a list of numbers")
			}
			if !number.IsKnown() {
				return cty.UnknownVal(cty.Number), nil
			}
			sum, err := stdlib.Add(total, number)
			if err != nil {
				return cty.NilVal, err
			}
			total = sum
		}
		return total, nil
	},
})

var (
	allTrueFunc = truthFunc(true)
	anyTrueFunc = truthFunc(false)
)

// truthFunc ends at the first element that is not start; without any, the
// result is start.
func truthFunc(start bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.List(cty.Bool)}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			unknown := false
			for _, v := range args[0].AsValueSlice() {
				switch {
				case !v.IsKnown():
					unknown = true
				case v.IsNull() && start:
					return cty.False, nil
				case !v.IsNull() && v.True() != start:
					return cty.BoolVal(!start), nil
				}
			}
			if unknown {
				return cty.UnknownVal(cty.Bool), nil
			}
			return cty.BoolVal(start), nil
		},
	})
}

// coalesceFunc gives the first argument that is neither null nor an empty text.
var coalesceFunc = function.New(&function.Spec{
	VarParam: &function.Parameter{
		Name: "vals", Type: cty.DynamicPseudoType, AllowUnknown: true, AllowDynamicType: true, AllowNull: true,
	},
	Type: func(args []cty.Value) (cty.Type, error) {
		var types []cty.Type
		for _, v := range args {
			types = append(types, v.Type())
		}
		ty, _ := convert.UnifyUnsafe(types)
		if ty == cty.NilType {
			return cty.NilType, errors.New("all arguments must have the same type")
		}
		return ty, nil
	},
	Impl: func(args []cty.Value, ty cty.Type) (cty.Value, error) {
		for _, arg := range args {
			v, err := convert.Convert(arg, ty)
			if err != nil {
				return cty.NilVal, err
			}
			if !v.IsKnown() {
				return cty.UnknownVal(ty), nil
			}
			if !v.IsNull() && (ty != cty.String || v.AsString() != "") {
				return v, nil
			}
		}
		return cty.NilVal, errors.New("no argument is anything but null or an empty text")
	},
})

// indexFunc finds a value in a list.
var indexFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}, {Name: "value", Type: cty.DynamicPseudoType}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if !args[0].Type().IsListType() && !args[0].Type().IsTupleType() {
			return cty.NilVal, function.NewArgErrorf(0, "it must be a list or a tuple")
		}
		for i, v := range args[0].AsValueSlice() {
			eq, err := stdlib.Equal(v, args[1])
			if err != nil {
				return cty.NilVal, err
			}
			if !eq.IsKnown() {
				return cty.UnknownVal(cty.Number), nil
			}
			if eq.True() {
				return cty.NumberIntVal(int64(i)), nil
			}
		}
		return cty.NilVal, function.NewArgErrorf(1, "the list has no such item")
	},
})

// lookupFunc is an element of a map, or the default if one is given.
var lookupFunc = function.New(&function.Spec{
	Params: []function.Parameter{
		{Name: "inputMap", Type: cty.DynamicPseudoType, AllowMarked: true},
		{Name: "key", Type: cty.String, AllowMarked: true},
	},
	VarParam: &function.Parameter{
		Name: "default", Type: cty.DynamicPseudoType, AllowUnknown: true, AllowDynamicType: true, AllowNull: true, AllowMarked: true,
	},
	Type: func(args []cty.Value) (cty.Type, error) {
		if len(args) > 3 {
			return cty.NilType, function.NewArgErrorf(3, "it takes a map, a key and at most one default")
		}
		if ty := args[0].Type(); !ty.IsMapType() && !ty.IsObjectType() {
			return cty.NilType, function.NewArgErrorf(0, "it must be a map")
		}
		return cty.DynamicPseudoType, nil
	},
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if len(args) == 3 {
			return stdlib.Lookup(args[0], args[1], args[2])
		}
		held, marks := args[0].Unmark()
		key, keyMarks := args[1].Unmark()
		v, found := at(held, key)
		if !found {
			return cty.NilVal, function.NewArgErrorf(1, "the map has no element %q, and no default is given", key.AsString())
		}
		return v.WithMarks(marks, keyMarks), nil
	},
})

// matchKeysFunc keeps the values whose key, at the same place, is among those
// searched for.
var matchKeysFunc = function.New(&function.Spec{
	Params: []function.Parameter{
		{Name: "values", Type: cty.List(cty.DynamicPseudoType)},
		{Name: "keys", Type: cty.List(cty.DynamicPseudoType)},
		{Name: "searchset", Type: cty.List(cty.DynamicPseudoType)},
	},
	Type: func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
	Impl: func(args []cty.Value, ty cty.Type) (cty.Value, error) {
		values, keys, wanted := args[0].AsValueSlice(), args[1].AsValueSlice(), args[2].AsValueSlice()
		if len(values) != len(keys) {
			return cty.NilVal, errors.New("there must be as many keys as values")
		}
		var kept []cty.Value
		for i, key := range keys {
			if slices.ContainsFunc(wanted, func(w cty.Value) bool { return w.RawEquals(key) }) {
				kept = append(kept, values[i])
			}
		}
		if len(kept) == 0 {
			return cty.ListValEmpty(ty.ElementType()), nil
		}
		return cty.ListVal(kept), nil
	},
})

// oneFunc is the only element, or null if there is none.
var oneFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
	Type: func(args []cty.Value) (cty.Type, error) {
		ty := args[0].Type()
		switch {
		case ty.IsTupleType() && ty.Length() == 1:
			return ty.TupleElementType(0), nil
		case ty.IsTupleType():
			return cty.DynamicPseudoType, nil
		case ty.IsListType() || ty.IsSetType():
			return ty.ElementType(), nil
		}
		return cty.NilType, function.NewArgError(0, errNotList)
	},
	Impl: func(args []cty.Value, ty cty.Type) (cty.Value, error) {
		switch elements := args[0].AsValueSlice(); len(elements) {
		case 0:
			return cty.NullVal(ty), nil
		case 1:
			return elements[0], nil
		default:
			return cty.NilVal, function.NewArgErrorf(0, "it must have no more than one element")
		}
	},
})

// mostNumbers bounds range, against slips of the keyboard.
const mostNumbers = 100_000

// rangeFunc counts as the standard function does, but further.
var rangeFunc = function.New(&function.Spec{
	VarParam: &function.Parameter{Name: "params", Type: cty.Number},
	Type:     function.StaticReturnType(cty.List(cty.Number)),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		start, end, step, err := rangeBounds(args)
		if err != nil {
			return cty.NilVal, err
		}
		past := cty.Value.GreaterThanOrEqualTo
		if step.LessThan(cty.Zero).True() {
			past = cty.Value.LessThanOrEqualTo
		}
		var numbers []cty.Value
		for n := start; past(n, end).False(); n = n.Add(step) {
			if len(numbers) == mostNumbers {
				return cty.NilVal, errors.New("that is more than 100000 numbers")
			}
			numbers = append(numbers, narrow(n))
		}
		if len(numbers) == 0 {
			return cty.ListValEmpty(cty.Number), nil
		}
		return cty.ListVal(numbers), nil
	},
})

// narrow gives a whole number just the precision that it needs: written out as
// text, it is ten times faster.
func narrow(n cty.Value) cty.Value {
	if whole, ok := wholeNumber(n); ok {
		return cty.NumberIntVal(int64(whole))
	}
	return n
}

// collectionFunc is a conversion to a list or set. It knows what the general
// one takes quadratic time to find out: a tuple of one type of element.
func collectionFunc(general function.Function, of func(cty.Type) cty.Type, from func([]cty.Value) cty.Value) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{anyValue},
		Type: func(args []cty.Value) (cty.Type, error) {
			if ty, ok := uniform(args[0]); ok {
				return of(ty), nil
			}
			return general.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if _, ok := uniform(args[0]); ok {
				return from(args[0].AsValueSlice()), nil
			}
			return general.Call(args)
		},
	})
}

// uniform finds the type of all elements of a tuple, if there is one.
func uniform(v cty.Value) (cty.Type, bool) {
	ty := v.Type()
	if v.IsMarked() || !v.IsKnown() || v.IsNull() || !ty.IsTupleType() || ty.Length() == 0 || ty.HasDynamicTypes() {
		return cty.NilType, false
	}
	types := ty.TupleElementTypes()
	for _, other := range types[1:] {
		if !other.Equals(types[0]) {
			return cty.NilType, false
		}
	}
	return types[0], true
}

func rangeBounds(args []cty.Value) (start, end, step cty.Value, err error) {
	start, step = cty.Zero, cty.NumberIntVal(1)
	switch len(args) {
	case 1:
		end = args[0]
	case 2, 3:
		start, end = args[0], args[1]
	default:
		return start, end, step, errors.New("it takes one, two or three numbers")
	}
	down := end.LessThan(start).True()
	if down {
		step = cty.NumberIntVal(-1)
	}
	if len(args) < 3 {
		return start, end, step, nil
	}
	step = args[2]
	stepsDown := step.LessThan(cty.Zero).True()
	if step.RawEquals(cty.Zero) || stepsDown != down && !start.RawEquals(end) {
		return start, end, step, function.NewArgErrorf(2, "these steps never reach the end")
	}
	for _, v := range args {
		if v.AsBigFloat().IsInf() {
			return start, end, step, errors.New("it cannot count to infinity")
		}
	}
	return start, end, step, nil
}

// transposeFunc swaps keys and values of a map of lists.
var transposeFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "values", Type: cty.Map(cty.List(cty.String))}},
	Type:   function.StaticReturnType(cty.Map(cty.List(cty.String))),
	Impl: func(args []cty.Value, ty cty.Type) (cty.Value, error) {
		if !args[0].IsWhollyKnown() {
			return cty.UnknownVal(ty), nil
		}
		swapped := map[string][]cty.Value{}
		lists := args[0].AsValueMap()
		for _, key := range sortedKeys(lists) {
			if lists[key].IsNull() {
				return cty.NilVal, function.NewArgErrorf(0, "the list of %q is null", key)
			}
			for _, v := range lists[key].AsValueSlice() {
				if v.IsNull() {
					return cty.NilVal, function.NewArgErrorf(0, "the list of %q contains null", key)
				}
				swapped[v.AsString()] = append(swapped[v.AsString()], cty.StringVal(key))
			}
		}
		if len(swapped) == 0 {
			return cty.MapValEmpty(ty.ElementType()), nil
		}
		out := map[string]cty.Value{}
		for key, list := range swapped {
			out[key] = cty.ListVal(list)
		}
		return cty.MapVal(out), nil
	},
})

var anyValue = function.Parameter{
	Name: "value", Type: cty.DynamicPseudoType,
	AllowUnknown: true, AllowNull: true, AllowMarked: true, AllowDynamicType: true,
}

func sameType(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil }

// sensitiveFunc marks a value as one that no screen should show.
var sensitiveFunc = function.New(&function.Spec{
	Params: []function.Parameter{anyValue},
	Type:   sameType,
	Impl:   func(args []cty.Value, _ cty.Type) (cty.Value, error) { return args[0].Mark(sensitive), nil },
})

var nonsensitiveFunc = function.New(&function.Spec{
	Params: []function.Parameter{anyValue},
	Type:   sameType,
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		v, marks := args[0].Unmark()
		delete(marks, sensitive)
		return v.WithMarks(marks), nil
	},
})

var isSensitiveFunc = function.New(&function.Spec{
	Params: []function.Parameter{anyValue},
	Type:   function.StaticReturnType(cty.Bool),
	Impl:   func(args []cty.Value, _ cty.Type) (cty.Value, error) { return cty.BoolVal(args[0].IsMarked()), nil },
})
