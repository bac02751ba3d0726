"""Where data come from: downloads (`urls.untar_data`), and what is read as a stream, shard by shard (`shards.Shards`)."""
