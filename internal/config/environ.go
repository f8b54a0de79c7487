package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Environ returns base, the environment of a process, in which the variables of the given settings say just what the
// settings say, so that a child process works with the same whatever flags and variables the parent had. Settings are
// pointers to structs of this package, validated.
func Environ(base []string, settings ...any) []string {
	environment := slices.Clone(base)
	for _, each := range settings {
		value := reflect.ValueOf(each).Elem()
		for i := range value.NumField() {
			name := value.Type().Field(i).Tag.Get("env")
			environment = slices.DeleteFunc(environment, func(entry string) bool { return strings.HasPrefix(entry, name+"=") })
			if field := value.Field(i); !field.IsZero() {
				environment = append(environment, name+"="+variable(field))
			}
		}
	}
	return environment
}

// variable writes a setting as its environment variable holds it.
func variable(field reflect.Value) string {
	switch value := field.Interface().(type) {
	case []string:
		return strings.Join(value, ",")
	case Secret:
		return string(value)
	default:
		return fmt.Sprint(value)
	}
}
