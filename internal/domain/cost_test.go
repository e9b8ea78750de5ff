package domain

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"drover/api"
)

// What a body costs must follow its size: anybody may send one to sign in.
func TestDecodeCostsWhatTheBodyIsLong(t *testing.T) {
	for name, in := range map[string]string{
		"fields below a long name": `{"` + strings.Repeat("x", 64<<10) + `":{` + strings.TrimSuffix(manyFields(5000), ",") + `}}`,
		"a list below a long name": `{"` + strings.Repeat("x", 64<<10) + `":[` + strings.Repeat("1,", 5000) + `1]}`,
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := DecodeBytes([]byte(in), &struct{}{})
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Fatal("an unknown field was taken")
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 32<<20 {
				t.Errorf("a body of %d KB took %d MB to read", len(in)>>10, took>>20)
			}
		})
	}
}

func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`"`)
		b.WriteString(strings.Repeat("a", 1+i%7))
		b.WriteByte(byte('0' + i%10))
		b.WriteString(string(rune('一' + i)))
		b.WriteString(`":1,`)
	}
	return b.String()
}

func TestDecodeErrorsNameTheirFieldShortly(t *testing.T) {
	err := DecodeBytes([]byte(`{"`+strings.Repeat("x", 1<<16)+`":{"a":1,"a":2}}`), &struct{}{})
	var e *api.Error
	if !errors.As(err, &e) || !strings.Contains(e.Message, "given twice") || len(e.Field) > 300 {
		t.Errorf("got %d bytes of field: %.300v", len(e.Field), err)
	}
}

func TestNearestOfNoName(t *testing.T) {
	if got := Nearest(strings.Repeat("hostname", 1000), []string{strings.Repeat("hostname", 999) + "hostnam"}); got != "" {
		t.Errorf("a name of 8,000 letters was compared: %.20q", got)
	}
}
