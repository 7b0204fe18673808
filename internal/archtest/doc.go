// Package archtest holds the tests that keep the house as it is drawn: who may
// import whom, where third-party libraries may appear, that money never meets
// floating point, and that files stay readable. It has no code of its own.
package archtest
