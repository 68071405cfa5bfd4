"""Other logs and catalogues as UBI day folders: what ``shelfwise import`` does, an adapter per source."""
