package jsonbody

import "cmp"

// sourceOf reads the member "source" of an object, an object itself, into o.Source: the data of an image or document, or where the service fetches
// them. The kind of media may only be known when the outer object ends.
func (w *walk) sourceOf(o *Object) error {
	o.HasSource = true
	inner := Object{Key: "source"} // the source as an object of content, for what is no data and no address
	return w.object(&inner, func(key string) error {
		c := w.Peek()
		switch {
		case key == "s3Location" || key == "s3_location":
			return w.stored(o, &inner, key)
		case c != '"': // all others that are known are strings
			return w.plainMember(&inner, key)
		case key == "data" || key == "bytes":
			return w.data(&o.Source, key)
		case key == "type" || key == "media_type" || key == "url" || key == "uri" || key == "file_id":
			return w.sourceWord(&o.Source, &inner, key)
		}
		return w.plainMember(&inner, key)
	})
}

// stored reads the place of media in S3, which the service fetches. null is no place.
func (w *walk) stored(o, inner *Object, key string) error {
	if w.meter == nil { // WalkPrompt goes on into the object, because a cache point may stand in it; a meter knows from Stored all that it needs
		o.Source.Stored = o.Source.Stored || w.Peek() != 'n'
		return w.plainMember(inner, key)
	}
	raw, err := w.Value()
	if raw != "null" && raw != `""` {
		o.Source.Stored = true
	}
	return err
}

// data reads the data of a source. A source with both names for them has two: the earlier one is kept as First.
func (w *walk) data(s *Source, key string) error {
	t, err := w.Text()
	s.First = s.Data // empty, unless the other name came before
	s.Data, s.Told, s.Bedrocks = t, true, key == "bytes"
	return err
}

// sourceWord reads the type or the media type of a source, or an address that stands for its data.
func (w *walk) sourceWord(s *Source, inner *Object, key string) error {
	t, err := w.Text()
	if err != nil {
		return err
	}
	switch key {
	case "type":
		s.Type = t.String()
	case "media_type":
		s.MediaType = t.String()
	default: // the first field with an address counts
		s.Remote = cmp.Or(s.Remote, key)
		inner.Fields++
	}
	w.sink.Word(t)
	return nil
}
