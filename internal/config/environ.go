package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Environ returns the environment base with the variables of the given settings replaced, so that a child process has the
// same settings as its parent. Settings are pointers to validated structs of this package.
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

// variable formats a setting for its environment variable.
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
