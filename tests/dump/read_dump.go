// Reads a dump from standard input: the namespaces in the order they close, and the bytes of their documents. It ends
// with an error where the CRC-64 (ECMA, as hash/crc64 has it) of a namespace is another.
package main

import (
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc64"
	"io"
	"os"
)

func fail(what string) {
	fmt.Fprintln(os.Stderr, what)
	os.Exit(1)
}

// next returns a document, or nil at a terminator.
func next(data []byte, at *int) []byte {
	size := int32(binary.LittleEndian.Uint32(data[*at:]))
	if size == -1 {
		*at += 4
		return nil
	}
	found := data[*at : *at+int(size)]
	*at += int(size)
	return found
}

// fields returns texts, booleans and integers of a flat document as text.
func fields(document []byte) map[string]string {
	found := map[string]string{}
	at := 4
	for document[at] != 0 {
		kind := document[at]
		start := at + 1
		for document[at] != 0 || at < start {
			at++
		}
		name := string(document[start:at])
		at++
		switch kind {
		case 2:
			size := int(binary.LittleEndian.Uint32(document[at:]))
			found[name] = string(document[at+4 : at+3+size])
			at += 4 + size
		case 8:
			found[name] = fmt.Sprint(document[at] == 1)
			at++
		case 16:
			found[name] = fmt.Sprint(int32(binary.LittleEndian.Uint32(document[at:])))
			at += 4
		case 18:
			found[name] = fmt.Sprint(binary.LittleEndian.Uint64(document[at:]))
			at += 8
		default:
			fail("a field of another type")
		}
	}
	return found
}

func main() {
	data, err := io.ReadAll(os.Stdin)
	if err != nil || binary.LittleEndian.Uint32(data) != 0x8199e26d {
		fail("no dump")
	}
	at := 4
	for next(data, &at) != nil {
	}
	hashes, sizes := map[string]hash.Hash64{}, map[string]int{}
	for at < len(data) {
		header := fields(next(data, &at))
		name := header["db"] + "." + header["collection"]
		if hashes[name] == nil {
			hashes[name] = crc64.New(crc64.MakeTable(crc64.ECMA))
		}
		for body := next(data, &at); body != nil; body = next(data, &at) {
			hashes[name].Write(body)
			sizes[name] += len(body)
		}
		if header["EOF"] == "true" {
			if fmt.Sprint(hashes[name].Sum64()) != header["CRC"] {
				fail("the CRC of " + name)
			}
			fmt.Println(name, sizes[name])
		}
	}
}
