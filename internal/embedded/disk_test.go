package embedded

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestAFullDiskIsNamed(t *testing.T) {
	dir := t.TempDir()
	free, err := FreeSpace(dir)
	if err != nil || free == 0 {
		t.Fatalf("%d bytes free, %v", free, err)
	}
	if text := fmt.Sprint(advice(dir, math.MaxUint64)...); !strings.Contains(text, dir+"/log") || !strings.Contains(text, "free some space") {
		t.Errorf("nearly full: %s", text)
	}
	if text := fmt.Sprint(advice(dir, 0)...); strings.Contains(text, "space") {
		t.Errorf("not full: %s", text)
	}
	if _, err := FreeSpace(dir + "/missing"); err == nil {
		t.Error("a missing directory has space")
	}
}
