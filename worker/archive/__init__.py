"""The archive: originals as WARC, the readable document, and the store that holds both."""
