package jsonbody

import "cmp"

// sourceOf reads where the media of an object come from. What they are may be told later.
func (w *walk) sourceOf(o *Object) error {
	o.HasSource = true
	inner := Object{Key: "source"}
	return w.object(&inner, func(key string) error {
		c := w.Peek()
		switch {
		case key == "s3Location" || key == "s3_location":
			return w.stored(o, &inner, key)
		case c != '"':
			return w.plainMember(&inner, key)
		case key == "data" || key == "bytes":
			return w.data(&o.Source, key)
		case key == "type" || key == "media_type" || key == "url" || key == "uri" || key == "file_id":
			return w.sourceWord(&o.Source, &inner, key)
		}
		return w.plainMember(&inner, key)
	})
}

// stored reads an object in S3.
func (w *walk) stored(o, inner *Object, key string) error {
	if w.meter == nil {
		o.Source.Stored = o.Source.Stored || w.Peek() != 'n'
		return w.plainMember(inner, key)
	}
	raw, err := w.Value()
	if raw != "null" && raw != `""` {
		o.Source.Stored = true
	}
	return err
}

// data reads the data of a source.
func (w *walk) data(s *Source, key string) error {
	t, err := w.Text()
	s.First = s.Data
	s.Data, s.Told, s.Bedrocks = t, true, key == "bytes"
	return err
}

// sourceWord reads what the data of a source are, or the address that stands for them.
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
	default:
		s.Remote = cmp.Or(s.Remote, key)
		inner.Fields++
	}
	w.sink.Word(t)
	return nil
}
