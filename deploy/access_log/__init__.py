"""Access logs of web servers as page views: what `weir replay` reads, maps and sends."""
