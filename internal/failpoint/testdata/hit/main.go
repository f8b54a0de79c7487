// Command hit hits the failpoints named by its arguments and prints each one after surviving it.
package main

import (
	"fmt"
	"os"

	"github.com/applylens/applylens/internal/failpoint"
)

func main() {
	for _, name := range os.Args[1:] {
		failpoint.Hit(name)
		fmt.Println(name, failpoint.Broken(name))
	}
}
