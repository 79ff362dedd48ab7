;; Exports a hook of a contract version that no host knows yet: refused, naming both versions.
(component
  (core module $code (func (export "select") (result i32) i32.const 0))
  (core instance $code (instantiate $code))
  (func $select (result u32) (canon lift (core func $code "select")))
  (instance $selection (export "select" (func $select)))
  (export "waypost:policy/selection@0.2.0" (instance $selection)))
