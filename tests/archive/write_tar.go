// Writes the folder named on the command line as a tar archive to standard output, as Go's archive/tar does it.
package main

import (
	"archive/tar"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

func write(root string, format tar.Format, writer *tar.Writer) error {
	return filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
		if err != nil || path == root {
			return err
		}
		header, err := tar.FileInfoHeader(info, "")
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		header.Name = name
		if info.IsDir() {
			header.Name += "/"
		}
		header.Format = format
		if format == tar.FormatUSTAR || format == tar.FormatGNU {
			// The one has no place for these, the other keeps them where Python finds a prefix.
			header.ModTime = header.ModTime.Truncate(time.Second)
			header.AccessTime, header.ChangeTime = time.Time{}, time.Time{}
		}
		if err := writer.WriteHeader(header); err != nil || info.IsDir() {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = io.Copy(writer, file)
		return err
	})
}

func main() {
	formats := map[string]tar.Format{
		"default": tar.FormatUnknown, "ustar": tar.FormatUSTAR, "pax": tar.FormatPAX, "gnu": tar.FormatGNU,
	}
	writer := tar.NewWriter(os.Stdout)
	err := write(os.Args[1], formats[os.Args[2]], writer)
	if err == nil {
		err = writer.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
