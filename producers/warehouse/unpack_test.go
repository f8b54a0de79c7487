package warehouse

import (
	"bytes"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestUnpackerIsBounded(t *testing.T) {
	const batch, answer = 1000, 2500
	for name, codec := range map[string]kgo.CompressionCodec{
		"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		t.Run(name, func(t *testing.T) {
			compressor, err := kgo.DefaultCompressor(codec)
			if err != nil {
				t.Fatal(err)
			}
			pack := func(size int) ([]byte, kgo.CompressionCodecType) {
				var packed bytes.Buffer
				b, compression := compressor.Compress(&packed, bytes.Repeat([]byte("a"), size))
				return b, compression
			}
			u := &unpacker{batch: batch, answer: answer}
			packed, compression := pack(batch)
			for range 2 { // as often as it is renewed
				for n := range 3 {
					if got, err := u.Decompress(packed, compression); err != nil || !bytes.Equal(got, bytes.Repeat([]byte("a"), batch)) {
						t.Fatalf("batch %d: %d bytes, %v", n, len(got), err)
					}
				}
				if _, err := u.Decompress(packed, compression); !errors.Is(err, errEnough) {
					t.Errorf("behind the limit: %v", err)
				}
				if got, err := u.Decompress(packed, kgo.CodecNone); err != nil || !bytes.Equal(got, packed) {
					t.Errorf("what is not packed: %d bytes, %v", len(got), err)
				}
				u.renew()
			}
			packed, compression = pack(batch + 1)
			if _, err := u.Decompress(packed, compression); !errors.Is(err, kgo.ErrMaxDecompress) {
				t.Errorf("a large batch: %v", err)
			}
			if _, err := u.Decompress([]byte("no batch"), compression); err == nil || errors.Is(err, errEnough) {
				t.Errorf("what is damaged: %v", err)
			}
		})
	}
}
