package scalar

import (
	"testing"
)

func TestQuantities(t *testing.T) {
	cases := []struct {
		text         string
		memory, nano int64
	}{
		{"", 0, 0},
		{"2", 2, 2e9},
		{"0.5", 1, 5e8},
		{"500m", 1, 5e8},
		{"1Ki", 1024, 1024e9},
		{"1.5k", 1500, 1500e9},
		{"2M", 2e6, 2e15},
		{"1u", 1, 1000},
		{"3Ti", 3 << 40, -1},
		{"2Pi", 2 << 50, -1},
		{"2Gi", 2 << 30, 2 << 30 * 1e9},
		{"1e3", 1000, 1e12},
		{"1E3", 1000, 1e12},
		{"1E", 1e18, -1},
		{"7Ei", 7 << 60, -1},
		{"8Ei", -1, -1},
		{"1e99", -1, -1},
		{"1n", 1, 1},
		{"0.1n", 1, 1},
		{"-1", 0, 0},
		{"1K", 0, 0},
		{"+1", 0, 0},
		{"1/2", 0, 0},
	}
	for _, c := range cases {
		if got := Quantity(c.text, 1); got != c.memory {
			t.Errorf("%q is %d bytes, want %d", c.text, got, c.memory)
		}
		if got := Quantity(c.text, 1e9); got != c.nano {
			t.Errorf("%q is %d nano CPUs, want %d", c.text, got, c.nano)
		}
	}
}
