package store

import (
	"reflect"
	"time"

	"drover/api"
)

// cloneObject makes a deep copy, several times faster than a trip through JSON.
func cloneObject(o api.Object) api.Object {
	return cloneValue(reflect.ValueOf(o)).Interface().(api.Object)
}

var timeType = reflect.TypeFor[time.Time]()

func cloneValue(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		n := reflect.New(v.Type().Elem())
		n.Elem().Set(cloneValue(v.Elem()))
		return n
	case reflect.Interface:
		if v.IsNil() {
			return v
		}
		n := reflect.New(v.Type()).Elem()
		n.Set(cloneValue(v.Elem()))
		return n
	case reflect.Struct:
		if v.Type() == timeType {
			return v
		}
		n := reflect.New(v.Type()).Elem()
		n.Set(v) // takes unexported fields along
		for i := range v.NumField() {
			if f := v.Field(i); n.Field(i).CanSet() && !flat(f.Kind()) {
				n.Field(i).Set(cloneValue(f))
			}
		}
		return n
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		n := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(n, v)
		if !flat(v.Type().Elem().Kind()) {
			for i := range v.Len() {
				n.Index(i).Set(cloneValue(v.Index(i)))
			}
		}
		return n
	case reflect.Array:
		n := reflect.New(v.Type()).Elem()
		for i := range v.Len() {
			n.Index(i).Set(cloneValue(v.Index(i)))
		}
		return n
	case reflect.Map:
		if v.IsNil() {
			return v
		}
		n := reflect.MakeMapWithSize(v.Type(), v.Len())
		for it := v.MapRange(); it.Next(); {
			n.SetMapIndex(it.Key(), cloneValue(it.Value()))
		}
		return n
	}
	return v
}

// flat kinds hold no references that could be changed.
func flat(k reflect.Kind) bool {
	return k <= reflect.Complex128 || k == reflect.String || k == reflect.Func || k == reflect.Chan
}
