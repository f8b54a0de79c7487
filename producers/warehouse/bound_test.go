package warehouse

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/internal/testkit/testenv"
	"github.com/applylens/applylens/internal/testkit/world"
)

func TestMain(m *testing.M) {
	Child()
	os.Exit(m.Run())
}

// readUntilError reads an export and returns the number of rows before the error that ends it, and the faults of rows.
func readUntilError(t *testing.T, source *Export) (rows int, broken []string, err error) {
	t.Helper()
	opened, err := source.Open(t.Context(), time.Time{})
	if err != nil {
		return 0, nil, err
	}
	defer func() { world.Must(t, opened.Close()) }()
	for {
		_, err := opened.Next(t.Context())
		var bad *RowError
		switch {
		case errors.As(err, &bad):
			broken = append(broken, bad.Detail)
		case err != nil:
			return rows, broken, err
		default:
			rows++
		}
	}
}

// wants requires an error with all of the parts.
func wants(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
}

// zipped returns a gzipped text of parts, each repeated.
func zipped(t *testing.T, parts ...any) []byte {
	t.Helper()
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	for i := 0; i < len(parts); i += 2 {
		for range parts[i+1].(int) {
			_, err := io.WriteString(writer, parts[i].(string))
			world.Must(t, err)
		}
	}
	world.Must(t, writer.Close())
	return packed.Bytes()
}

const goodRow = "lever,1,a@example.com,Acme,Onsite,,,,\n"

// TestAPackedRowIsBounded: 48 MiB in one value are packed into 48 KiB.
func TestAPackedRowIsBounded(t *testing.T) {
	mebibyte := strings.Repeat("a", 1<<20)
	for name, begin := range map[string]string{"a quoted value": `lever,2,"`, "a value": "lever,2,", "a header": ""} {
		t.Run(name, func(t *testing.T) {
			text := []any{header, 1, goodRow, 1, begin, 1, mebibyte, 48}
			if begin == "" {
				text = []any{mebibyte, 48}
			}
			source := export(t, write(t, "bomb.csv.gz", zipped(t, text...)))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			rows, _, err := readUntilError(t, source)
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > 32<<20 {
				t.Errorf("reading it allocates %d MiB", took>>20)
			}
			if begin == "" {
				wants(t, err, "bomb.csv.gz", "row 0", "1048576 bytes")
				return
			}
			wants(t, err, "bomb.csv.gz: row 2", "1048576 bytes", "quotation mark")
			if rows != 1 {
				t.Errorf("%d rows before it, want 1", rows)
			}
		})
	}
}

func TestALongValueCostsItsRow(t *testing.T) {
	long := strings.Repeat("a", 65_537)
	rows, broken, err := readUntilError(t, export(t, write(t, "a.csv", []byte(header+"lever,1,,"+long+",,,,,\n"+goodRow))))
	if !errors.Is(err, io.EOF) || rows != 1 || len(broken) != 1 || !strings.Contains(broken[0], "row 1 cannot be read: column company has 65537 bytes") {
		t.Errorf("CSV: %d rows, broken %q, %v", rows, broken, err)
	}
	many := make([]string, 1001)
	path := parquetFile(t, exported{Stage: long}, exported{Addresses: many}, exported{Stage: "Onsite"})
	rows, broken, err = readUntilError(t, export(t, path))
	if !errors.Is(err, io.EOF) || rows != 1 || len(broken) != 2 || !strings.Contains(broken[0], "column stage") || !strings.Contains(broken[1], "column addresses has more than 1000") {
		t.Errorf("Parquet: %d rows, broken %q, %v", rows, broken, err)
	}
}

func TestRowsAndColumnsAreCounted(t *testing.T) {
	source := export(t, write(t, "rows.csv.gz", zipped(t, header, 1, goodRow, 100)))
	source.limits.rows = 50
	rows, _, err := readUntilError(t, source)
	wants(t, err, "rows.csv.gz", "more than 50 rows", "split it")
	if rows != 50 {
		t.Errorf("%d rows", rows)
	}
	source = export(t, write(t, "large.csv.gz", zipped(t, header, 1, goodRow, 100_000)))
	source.limits.unpacked = 1 << 20
	_, _, err = readUntilError(t, source)
	wants(t, err, "large.csv.gz: row 2", "unpack to more than 1048576 bytes")
	_, _, err = readUntilError(t, export(t, write(t, "wide.csv", []byte(strings.Repeat("a,", 1000)+"b\n"))))
	var drift *DriftError
	if !errors.As(err, &drift) || !strings.Contains(drift.Detail, "1001 columns") {
		t.Errorf("a wide file: %v", err)
	}
}

// TestAParquetPageIsBounded: a page of a few bytes says that it has a billion values.
func TestAParquetPageIsBounded(t *testing.T) {
	path := parquetFile(t, exported{System: "lever"})
	original, err := os.ReadFile(path)
	world.Must(t, err)
	file, err := parquet.OpenFile(bytes.NewReader(original), int64(len(original)))
	world.Must(t, err)
	metadata := file.Metadata()
	const values = 1 << 30
	levels := append(binary.AppendUvarint(nil, values<<1), 0) // a run of nulls
	page := append(binary.LittleEndian.AppendUint32(nil, uint32(len(levels))), levels...)
	head, err := thrift.Marshal(&thrift.CompactProtocol{}, &format.PageHeader{
		Type: format.DataPage, UncompressedPageSize: int32(len(page)), CompressedPageSize: int32(len(page)),
		DataPageHeader: thrift.Null[format.DataPageHeader]{Valid: true, V: format.DataPageHeader{
			NumValues: values, Encoding: format.Plain, DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE,
		}},
	})
	world.Must(t, err)
	bomb := original[:len(original)-8-int(binary.LittleEndian.Uint32(original[len(original)-8:]))]
	for i := range metadata.RowGroups[0].Columns {
		chunk := &metadata.RowGroups[0].Columns[i].MetaData
		if chunk.PathInSchema[0] == "company" {
			chunk.DataPageOffset, chunk.DictionaryPageOffset = int64(len(bomb)), 0
			chunk.NumValues, chunk.TotalCompressedSize = values, int64(len(head)+len(page))
		}
	}
	footer, err := thrift.Marshal(&thrift.CompactProtocol{}, metadata)
	world.Must(t, err)
	bomb = append(append(append(bomb, head...), page...), footer...)
	bomb = append(binary.LittleEndian.AppendUint32(bomb, uint32(len(footer))), "PAR1"...)

	rows, broken, err := readUntilError(t, export(t, write(t, "bomb.parquet", bomb)))
	wants(t, err, "bomb.parquet: row 1", "536870912 bytes of memory", "smaller pages")
	if rows > 0 || len(broken) > 0 {
		t.Errorf("%d rows, broken %q", rows, broken)
	}
}

func TestARowOfTheViewIsBounded(t *testing.T) {
	pool, url := testenv.Database(t)
	_, err := pool.Exec(t.Context(), `CREATE VIEW vw_applications_enriched AS
		SELECT 'lever'::text AS system, n::text AS application_id, ARRAY['a@example.com'] AS addresses,
			CASE WHEN n = 2 THEN repeat('a', 2 << 20) ELSE 'Acme' END AS company, 'Onsite'::text AS stage, now() AS last_stage_change,
			NULL::timestamptz AS interview_date, now() AS synced_at, false AS deleted FROM generate_series(1, 3) AS n`)
	world.Must(t, err)
	view, err := NewView(url, "vw_applications_enriched")
	world.Must(t, err)
	rows, err := view.Open(t.Context(), time.Time{})
	world.Must(t, err)
	defer rows.Close()
	_, err = rows.Next(t.Context())
	world.Must(t, err)
	_, err = rows.Next(t.Context())
	wants(t, err, "row 2", "the most that a row of the view may have is 1048576")
}

// TestABatchOfATopicIsBounded: a batch of some kilobytes unpacks to more than it may.
func TestABatchOfATopicIsBounded(t *testing.T) {
	c := captured(t)
	producer := c.Client(kgo.DefaultProduceTopic(c.topic.Topic), kgo.ProducerBatchMaxBytes(mostBatch+2<<20), kgo.BrokerMaxWriteBytes(mostBatch+4<<20),
		kgo.ProducerBatchCompression(kgo.GzipCompression()))
	bomb := changed("r", 1, "Onsite")
	bomb.Value = append(bomb.Value, bytes.Repeat([]byte(" "), mostBatch)...)
	c.Must(producer.ProduceSync(t.Context(), bomb).FirstErr())
	_, err := SyncTopic(t.Context(), c.cfg, c.topic, nil)
	wants(t, err, "at offset 0 unpacks to more than 16777216 bytes", "smaller batches")
}

// TestManyBatchesOfATopicAreBounded: those that come with one answer unpack to some hundred times the answer.
func TestManyBatchesOfATopicAreBounded(t *testing.T) {
	for name, compression := range map[string]kgo.CompressionCodec{
		"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := captured(t)
			producer := c.Client(kgo.DefaultProduceTopic(c.topic.Topic), kgo.ProducerBatchMaxBytes(mostBatch), kgo.ProducerBatchCompression(compression))
			const batches, records = 12, 8
			for batch := range batches {
				var list []*kgo.Record
				for n := range records {
					record := changed("r", batch*records+n, "Onsite")
					record.Value = append(record.Value, bytes.Repeat([]byte(" "), 1_000_000)...)
					list = append(list, record)
				}
				c.Must(producer.ProduceSync(t.Context(), list...).FirstErr())
			}
			if summary := c.read(); summary.Added != batches*records {
				t.Errorf("%+v", summary)
			}
		})
	}
}

// TestALargeRecordOfATopicIsSkipped: it is reported, and the records after it are read.
func TestALargeRecordOfATopicIsSkipped(t *testing.T) {
	c := captured(t)
	producer := c.Client(kgo.DefaultProduceTopic(c.topic.Topic), kgo.ProducerBatchMaxBytes(4<<20), kgo.ProducerBatchCompression(kgo.GzipCompression()))
	large := changed("r", 1, "Onsite")
	large.Value = append(large.Value, bytes.Repeat([]byte(" "), 1<<20)...)
	c.Must(producer.ProduceSync(t.Context(), large, changed("r", 2, "Onsite")).FirstErr())
	summary := c.read()
	if summary.Added != 1 || summary.Broken != 1 {
		t.Errorf("%+v", summary)
	}
}
