;; A component of another world: it exports a function, but no hook.
(component
  (core module $code (func (export "run") (result i32) i32.const 0))
  (core instance $code (instantiate $code))
  (func $run (result u32) (canon lift (core func $code "run")))
  (export "run" (func $run)))
