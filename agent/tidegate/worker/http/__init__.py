"""HTTP/1.1 on inherited sockets: connections that are counted and have deadlines, bodies that are bounded."""
