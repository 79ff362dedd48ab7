;; Exports a hook of the right name and version, with another signature: refused when it is loaded.
(component
  (core module $code (func (export "select") (result i32) i32.const 0))
  (core instance $code (instantiate $code))
  (func $select (result u32) (canon lift (core func $code "select")))
  (instance $selection (export "select" (func $select)))
  (export "waypost:policy/selection@0.1.0" (instance $selection)))
