// Prints the members of the tar archive named on the command line as Go's archive/tar has them, a JSON object a line.
package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

type entry struct {
	Name   string `json:"name"`
	Flag   string `json:"flag"`
	Size   int64  `json:"size"`
	Digest string `json:"digest"`
	Target string `json:"target"`
}

func read(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	printed := json.NewEncoder(os.Stdout)
	reader := tar.NewReader(file)
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		digest := sha256.New()
		size, err := io.Copy(digest, reader)
		if err != nil {
			return err
		}
		flag := string(rune(header.Typeflag))
		found := entry{header.Name, flag, size, hex.EncodeToString(digest.Sum(nil)), header.Linkname}
		if err := printed.Encode(found); err != nil {
			return err
		}
	}
}

func main() {
	if err := read(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
